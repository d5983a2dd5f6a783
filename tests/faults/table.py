"""What the runs found, as one table at the end of the tests."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from tests.faults import plan

PROPERTY = "fault"


@dataclass(frozen=True)
class Verdict:
    """What became of one run: how many uploads, which of them were lost or told twice, what else
    was wrong, and in seconds how long it took until all was well, and how long `/health` was
    silent."""

    stack: str
    row: str
    uploads: int
    lost: int
    doubled: int
    recovery_s: float
    silent_s: float
    wrong: tuple[str, ...] = ()


Record = Callable[[str, object], None]


def note(record: Record, verdict: Verdict) -> None:
    """Hand it over to whoever prints the table, in whichever process that is."""
    record(PROPERTY, json.dumps(asdict(verdict)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The hook of `tests.conftest`."""
    reports = [each for found in terminalreporter.stats.values() for each in found]
    verdicts = [
        Verdict(**json.loads(value))
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == PROPERTY
    ]
    if verdicts:
        terminalreporter.section(f"faults, FAULTS_SEED={plan.SEED}")
        for line in lines(verdicts):
            terminalreporter.write_line(line)


def lines(verdicts: list[Verdict]) -> list[str]:
    head = f"{'stack':9} {'cell':34} {'runs':>4} {'uploads':>7} {'lost':>4} {'doubled':>7}"
    found = [f"{head} {'slowest recovery':>16} {'/health silent':>14}"]
    rows = dict.fromkeys((each.stack, each.row) for each in verdicts)
    for stack, row in sorted(rows, key=lambda each: each[0]):
        mine = [each for each in verdicts if (each.stack, each.row) == (stack, row)]
        uploads, lost, doubled = (
            sum(getattr(each, name) for each in mine) for name in ("uploads", "lost", "doubled")
        )
        recovery, silent = (
            max(getattr(each, name) for each in mine) for name in ("recovery_s", "silent_s")
        )
        found.append(
            f"{stack:9} {row:34} {len(mine):4} {uploads:7} {lost:4} {doubled:7}"
            f" {recovery:14.1f} s {silent:12.2f} s"
        )
    return found
