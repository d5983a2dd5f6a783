"""The measuring behind `python -m benchmarks.queue`; Django is set up by then."""

import argparse
import statistics
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connections

from benchmarks.queue.contention import contend
from benchmarks.queue.fill import fill
from jobs import intake, outcomes, queue, spec, transitions
from jobs.incoming import Staged
from jobs.models import Job
from jobs.outcomes import Product

BACKLOG = 50
SUBJECTS = 20
MANY = 10_000
Usual = dict[str, tuple[float, float]]


class Steps:
    """Microseconds of each measured step: CPU of this process, and wall clock."""

    def __init__(self) -> None:
        self._spent: dict[str, list[tuple[float, float]]] = {}

    def measure(self, name: str, act: Callable[[], Any]) -> Any:
        cpu, wall = time.process_time(), time.perf_counter()
        found = act()
        spent = (time.process_time() - cpu) * 1e6, (time.perf_counter() - wall) * 1e6
        self._spent.setdefault(name, []).append(spent)
        return found

    def usual(self) -> Usual:
        """The lower quartile of each step: what it takes where nobody disturbs."""
        return {
            name: (_quartile([cpu for cpu, _ in each]), _quartile([wall for _, wall in each]))
            for name, each in self._spent.items()
        }


def _quartile(values: list[float]) -> float:
    return statistics.quantiles(values, n=4)[0]


def rounds(count: int, mark: int) -> Usual:
    """Accept, claim and finish `count` jobs, one after the other."""

    parsed = spec.parse(
        {"formats": {"jpg": {"sizes": [[800, 600], [400, 300]]}}, "directHost": True}
    )
    steps = Steps()
    for number in range(count):
        sha256 = f"{mark + 1:032x}{number:032x}"
        staged = Staged(uuid.uuid4(), "photo.jpg", sha256, 1_400_000, "jpeg")
        subject = f"s{number % SUBJECTS}"
        steps.measure("accept", lambda: intake.accept(staged, parsed, subject))  # noqa: B023
        steps.measure("look", queue.any_runnable)
        job = steps.measure("claim", lambda: transitions.claim_best("bench/1/1"))
        steps.measure("finish", lambda: outcomes.complete(job, Product(())))  # noqa: B023
    return steps.usual()


def claims(count: int) -> Usual:
    """Claim `count` times, and put each job back behind the others."""

    steps = Steps()
    for _ in range(count):
        job = steps.measure("claim", lambda: transitions.claim_best("bench/1/1"))
        transitions.put_back(job, turn=job.turn + MANY)
    return steps.usual()


def with_shares(count: int, limit: int) -> Usual:
    settings.PIXERVE = settings.PIXERVE.model_copy(update={"max_concurrent_per_subject": limit})
    return claims(count)


def take_the_share_of(subject: str) -> None:
    """A worker is at one job of this subject."""

    pk = Job.objects.filter(state="pending", subject=subject).values_list("pk").first()
    Job.objects.filter(pk=pk[0] if pk else 0).update(state="processing", owner="bench/2/2")


def show(label: str, usual: Usual) -> None:
    cells = (f"{name} {cpu:6.0f} / {wall:6.0f}" for name, (cpu, wall) in usual.items())
    print(f"{label:>34}   {'   '.join(cells)}", flush=True)


def by_rows(sizes: Sequence[int], count: int) -> None:
    print("CPU / wall clock, µs, lower quartiles")
    there = 0
    first: Usual = {}
    rounds(count, 0)  # warm, and the first row
    fill(10**9, BACKLOG, "pending", SUBJECTS)
    for size in sizes:
        fill(there, size - there, "completed", max(1, size // 100))
        there = size
        usual = rounds(count, size)
        show(f"{size:,} jobs", usual)
        first = first or usual
    total, before = (sum(cpu for cpu, _ in each.values()) for each in (usual, first))
    print(f"CPU of all steps, last to first: {total / before - 1:+.1%}")


def by_limit(count: int) -> None:
    """The worst for a limit: what a worker may take stands behind all that it may not."""
    Job.objects.filter(state="pending").update(state="cancelled")
    fill(2 * 10**9, MANY, "pending", 1)
    fill(10**13, 500, "pending", 500)  # with later turns than all of the backlog
    show(f"{MANY:,} waiting, no limit", with_shares(count, 0))
    show("limit 1, nobody has its share", with_shares(count, 1))
    take_the_share_of("s0")
    show("limit 1, the backlog's has", with_shares(count, 1))


def main(options: argparse.Namespace) -> None:
    call_command("migrate", verbosity=0)
    if options.claimers:
        rounds(20, 0)  # the first row
        for count in options.claimers:
            contend(count, options.jobs)
    else:
        by_rows(sorted(options.rows), options.rounds)
        by_limit(options.rounds)
    connections.close_all()
