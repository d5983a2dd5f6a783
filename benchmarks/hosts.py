"""What several hosts cost: two of them on PostgreSQL, Redis and a bucket, all on this machine.

    python -m benchmarks.hosts [--uploads 100]

Prints the time from upload to claim, for uploads to one host and to both in turns, the time of the
upload itself, and the share of a core that a host takes when nothing happens. PostgreSQL, Redis and
Ceph are started for it and run on the same cores.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.main_job import IDLE_S, cpu_by_role, distinct
from tests.acceptance import hosts
from tests.acceptance.hosts import Hosts
from tests.delivery.backends.conftest import make_client
from tests.peers import ceph
from tests.server import IMAGES, Pixerve, make_token, wait_for

JOB = {"formats": {"jpg": {"sizes": [[50]]}}, "directHost": True}


def uploads(servers: Sequence[Pixerve], numbers: Iterable[int]) -> None:
    """One after the other, to these hosts in turns."""
    token = make_token(JOB)
    small = (IMAGES / "pil_hopper.jpg").read_bytes()
    waits, answers = [], []
    for number in numbers:
        server = servers[number % len(servers)]
        started = time.monotonic()
        reference = server.upload(distinct(small, number), token).json()["hash"]
        answers.append((time.monotonic() - started) * 1000)
        waits.append(server.wait_end(reference, token)["timings"]["queued"])
    print(f"  upload to claim, ms: {_spread(waits)}")
    print(f"  the upload's answer, ms: {_spread(answers)}")


def _spread(values: list[float]) -> str:
    p99 = sorted(values)[max(0, int(len(values) * 0.99) - 1)]
    return f"p50 {statistics.median(values):.1f}, p99 {p99:.1f}"


def when_idle(both: Hosts) -> None:
    before = [cpu_by_role(server) for server in (both.a, both.b)]
    end = time.monotonic() + IDLE_S
    wait_for(lambda: time.monotonic() > end, within_s=IDLE_S + 5)
    for name, server, was in zip("AB", (both.a, both.b), before, strict=True):
        now = cpu_by_role(server)
        shares = {role: (now[role] - was[role]) / IDLE_S * 100 for role in now}
        parts = ", ".join(f"{role} {value:.2f} %" for role, value in sorted(shares.items()))
        print(f"idle, host {name}, share of one core: {sum(shares.values()):.2f} % ({parts})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uploads", type=int, default=100)
    count = parser.parse_args().uploads
    if reason := hosts.missing():
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory(prefix="pixerve-bench-") as folder:
        (Path(folder) / "ceph").mkdir()
        with (
            ceph.running(Path(folder) / "ceph") as gateway,
            hosts.two_hosts(Path(folder), gateway, make_client(gateway), proxied=False) as both,
        ):
            print(f"{count} uploads to one of two hosts")
            uploads([both.a], range(count))
            print(f"{count} uploads to both in turns")
            uploads([both.a, both.b], range(count, 2 * count))
            when_idle(both)


if __name__ == "__main__":
    main()
