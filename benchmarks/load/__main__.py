"""The load suite: `make load`, or `make load LOAD_UPLOADS=100` for a look at it in minutes.

    python -m benchmarks.load [--uploads 10000] [--rows 1000000] [--parts sqlite rows hosts …]

Starts servers of its own in temporary folders and, for each database: uploads of mixed sizes at
concurrency 64, as many as `--uploads` at once and then a tenth of that with 64 jobs under way; the
documented example for the engine's share of the CPU; waiting. Then whether the size of the job
table matters, and what a second host of workers brings. Prints what it finds and, at the end, a
table of the limits; ends with 1 where one is missed.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.load import rows, suite, two_hosts
from benchmarks.load.pictures import variants_of
from benchmarks.load.report import Report
from benchmarks.load.stacks import NAMES, STACKS, missing, stack
from benchmarks.load.watch import say
from tests.server import IMAGES

PARTS = ("sqlite", "postgresql", "rows", "hosts")


def on_one_server(name: str, uploads: int, report: Report) -> None:
    """Everything that needs a server of its own on this database."""
    where = NAMES[name]
    with tempfile.TemporaryDirectory(prefix="pixerve-load-") as folder:
        with stack(name, Path(folder) / "idle") as server:
            suite.idle([server], where, min(uploads, 300), report)
            suite.example(server, where, max(5, min(200, uploads // 10)), report)
        with stack(name, Path(folder) / "busy") as server:
            suite.burst(server, where, uploads, report)
            suite.steady(server, where, max(5, uploads // 10), report)


def by_rows(uploads: int, most: int, report: Report) -> None:
    """The same uploads with few and with many rows."""
    small = (IMAGES / "pil_hopper.jpg").read_bytes()
    for name in STACKS:
        if not missing(name):
            report.say(f"{NAMES[name]}: by the size of the job table")
            each = max(5, min(300, uploads // 10))
            rows.compare(name, variants_of(small), each, report, (rows.ROWS[0], most))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--uploads", type=int, default=10_000)
    parser.add_argument("--rows", type=int, help="a hundred times the uploads, at most a million")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    most = options.rows or min(rows.ROWS[1], 100 * options.uploads)
    report = Report()
    acts: dict[str, Callable[[], None]] = {
        **{name: partial(on_one_server, name, options.uploads, report) for name in STACKS},
        "rows": partial(by_rows, options.uploads, most, report),
        "hosts": partial(two_hosts.compare, options.uploads, report),
    }
    absent = {**{name: missing(name) for name in STACKS}, "hosts": two_hosts.missing()}
    for part in options.parts:
        if absent.get(part):
            say(f"skipped {part}: {absent[part]}")
        else:
            acts[part]()
    print("", *report.table(), sep="\n", flush=True)
    raise SystemExit(not report.good)


if __name__ == "__main__":
    main()
