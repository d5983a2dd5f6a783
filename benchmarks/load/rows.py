"""Whether a server slows down as its tables grow: the same uploads to two that differ in nothing
but how many jobs they have, in turns."""

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks.accounting import Cost
from benchmarks.load.pictures import Source
from benchmarks.load.report import Report, costs
from benchmarks.load.run import measure
from benchmarks.load.stacks import NAMES, stack
from benchmarks.load.watch import say
from tests.server import ROOT, Pixerve

ROWS = (100, 1_000_000)
ROUNDS = 6
WITHIN = 0.10
_CONCURRENCY = 8
_GROWN_WITHIN_S = 1800
# A small picture and one output: the engine, which no table slows down, has a small part in it.
_JOB = {"formats": {"jpg": {"sizes": [[64]]}}, "directHost": True}


def in_tables(server: Pixerve, call: str) -> None:
    """Call a function of `benchmarks.queue.fill` in a process that has this server's database."""
    command = f"from benchmarks.queue import fill; fill.{call}"
    subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "shell", "-v0", "-c", command],
        check=True,
        env=server.environment(),
        stdin=subprocess.DEVNULL,
        timeout=_GROWN_WITHIN_S,
    )


def compare(
    name: str, picture: Source, uploads: int, report: Report, rows: tuple[int, int] = ROWS
) -> None:
    """Jobs per second and CPU per job with few and many rows, by the median over rounds in which
    each is asked, so that what slows the machine slows both."""
    with ExitStack() as all_of_them:
        servers = []
        for count in rows:
            folder = Path(all_of_them.enter_context(tempfile.TemporaryDirectory(prefix="pixerve-")))
            servers.append(all_of_them.enter_context(stack(name, folder)))
            say(f"    filling a table with {count:,} jobs")
            in_tables(servers[-1], f"grow({count})")
        rates: list[list[float]] = [[], []]
        found: list[list[Cost]] = [[], []]
        for round_ in range(ROUNDS + 1):
            numbers = range(round_ * uploads, (round_ + 1) * uploads)
            for at, server in enumerate(servers):
                outcome = measure(server, _JOB, picture, numbers, _CONCURRENCY)
                assert not outcome.lost + outcome.missing + len(outcome.log.errors), outcome.log
                if round_:  # the first one fills caches
                    rates[at].append(outcome.rate)
                    found[at].append(outcome.cost_ms)
    _judge(NAMES[name], rows, rates, found, report)


def _judge(
    where: str,
    rows: tuple[int, int],
    rates: list[list[float]],
    found: list[list[Cost]],
    report: Report,
) -> None:
    for count, each, cost in zip(rows, rates, found, strict=True):
        middle = {part: median(one.get(part, 0.0) for one in cost) for part in cost[0]}
        report.say(f"  {count:,} jobs: {median(each):.1f} jobs/s; CPU per job, ms: {costs(middle)}")
    slower = 1 - median(many / few for few, many in zip(*rates, strict=True))
    totals = [[sum(one.values()) for one in cost] for cost in found]
    dearer = median(many / few for few, many in zip(*totals, strict=True)) - 1
    label = f"from {rows[0]:,} to {rows[1]:,} jobs"
    enough = rows[1] >= ROWS[1]
    for what, value in (("throughput lost", slower), ("CPU per job gained", dearer)):
        met = value <= WITHIN if enough else None
        report.judge(f"{what} {label} ≤ {WITHIN:.0%}", where, f"{value:+.1%}", met=met)
