"""What several hosts cost: two of them on PostgreSQL, Redis and a bucket, all on this machine.

    python -m benchmarks.hosts [--uploads 100]

Prints the time from upload to claim, for uploads to one host and to both in turns, the time of the
upload itself, and the share of a core that a host takes when nothing happens. PostgreSQL, Redis and
Ceph are started for it and run on the same cores.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.main_job import idle_shares, show_shares, upload_to_claim
from benchmarks.spread import p50_p99
from tests.acceptance import hosts
from tests.delivery.backends.conftest import make_client
from tests.peers import ceph


def show(label: str, waits: list[float], answers: list[float]) -> None:
    print(f"{len(waits)} uploads {label}")
    print(f"  upload to claim, ms: {p50_p99(waits)}")
    print(f"  the upload's answer, ms: {p50_p99(answers)}")


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
            first, both_in_turns = range(count), range(count, 2 * count)
            show("to one of two hosts", *upload_to_claim([both.a], first))
            show("to both in turns", *upload_to_claim([both.a, both.b], both_in_turns))
            for name, server in (("A", both.a), ("B", both.b)):
                show_shares(f"idle, host {name}", idle_shares(server))


if __name__ == "__main__":
    main()
