"""What a job asks of the bucket and of PostgreSQL, and what staging there or in a folder costs."""

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.accounting import ENGINE, PEERS
from benchmarks.load.pictures import sized
from benchmarks.load.run import measure
from benchmarks.load.stacks import warmed
from benchmarks.load.watch import Table
from tests.acceptance import hosts
from tests.delivery.backends.conftest import make_client
from tests.peers import ceph, postgres, redis
from tests.peers.faults import faulty
from tests.server import EXAMPLE_JOB, Pixerve, running

JOBS = 80
MEGAPIXELS = 2
_WARM = 5


def main(folder: Path, scale: float) -> None:
    if reason := hosts.missing():
        print(f"skipped bucket: {reason}")
        return
    jobs = max(5, int(JOBS * scale))
    (folder / "ceph").mkdir()
    with postgres.running(durable=True) as database, redis.running() as broker:
        env = {"PIXERVE_DATABASE_URL": database.make("plain")}
        with running(folder / "plain", PIXERVE_MAX_WORKERS="1", **_any(env)) as server:
            costs(server, "a folder", jobs)
        with ceph.running(folder / "ceph") as gateway, faulty(gateway.endpoint) as proxy:
            name = ceph.bucket_name()
            make_client(gateway).create_bucket(Bucket=name)
            for endpoint in (gateway.endpoint, proxy.endpoint):
                url = database.make(f"at-{endpoint.rpartition(':')[2]}")
                shared = _any(hosts.settings(url, broker.url, gateway, endpoint, name))
                place = folder / endpoint.rpartition(":")[2]
                with running(place, PIXERVE_MAX_WORKERS="1", **shared) as server:
                    if endpoint == gateway.endpoint:
                        costs(server, "a bucket", jobs)
                    else:
                        requests(server, proxy.seen, jobs)


def _any(env: dict[str, str]) -> dict[str, Any]:
    return dict(env)


def costs(server: Pixerve, where: str, jobs: int) -> None:
    """CPU of Pixerve beside the converter, per job, and of what it leans on."""
    warmed(server)
    for numbers in (range(_WARM), range(_WARM, _WARM + jobs)):
        before = commits(server)
        found = measure(server, EXAMPLE_JOB, sized(MEGAPIXELS), numbers, 2, in_flight=4)
        assert not found.lost, found.log.errors[:3]
    wrote = (commits(server) - before) / jobs
    parts = {name: ms for name, ms in found.cost_ms.items() if name != ENGINE}
    beside = sum(ms for name, ms in parts.items() if name not in PEERS.values())
    each = ", ".join(f"{name} {ms:.1f}" for name, ms in parts.items() if ms >= 0.1)
    print(
        f"staging in {where}: {found.rate:.1f} jobs/s with one worker; CPU of each beside the"
        f" engine {beside:.1f} ms ({each}); {wrote:.1f} commits",
        flush=True,
    )


def commits(server: Pixerve) -> int:
    """How many transactions its PostgreSQL has numbered so far: those that write."""
    query = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
    with closing(Table(server)) as table:
        return int(table.rows(query)[0][0])


def requests(server: Pixerve, seen: list[str], jobs: int) -> None:
    """How often a job asks the bucket, by method."""
    warmed(server)
    seen.clear()
    found = measure(server, EXAMPLE_JOB, sized(MEGAPIXELS), range(jobs), 1, in_flight=1)
    assert not found.lost, found.log.errors[:3]
    counted = Counter(line.split()[0] for line in list(seen))
    each = ", ".join(f"{name} {count / jobs:.1f}" for name, count in sorted(counted.items()))
    print(f"requests of a job to the bucket: {sum(counted.values()) / jobs:.1f} ({each})")
