"""One measured run: uploads against a server until every job has ended, and what became of each."""

import time
import uuid
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any

from benchmarks.accounting import Cost, between, cpu
from benchmarks.load.client import Log, upload_all
from benchmarks.load.fairness import Ended, Visit, Visitors, visiting
from benchmarks.load.pictures import Source
from benchmarks.load.watch import Gate, Watch
from tests.server import Pixerve, make_token

TENANT = "tenant-123"
_FEW = 3


@dataclass
class Outcome:
    """What a run was like. `cost` is CPU seconds by part, `wall_s` from the first upload to the end
    of the last job, `missing` the files that a record names and that are not there."""

    log: Log
    jobs: dict[str, Ended]
    cost: Cost
    accepted_s: float
    wall_s: float
    memory: list[tuple[int, Cost]] = field(default_factory=list)
    missing: int = 0
    visits: list[Visit] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Uploads that were taken and did not complete."""
        done = {uid for uid, job in self.jobs.items() if job.state == "completed"}
        return sum(each.uid not in done for each in self.log.sent)

    @property
    def cost_ms(self) -> Cost:
        """CPU milliseconds per job, by part."""
        return {name: spent * 1000 / len(self.jobs) for name, spent in self.cost.items()}

    @property
    def rate(self) -> float:
        """Jobs per second, from the first upload to the last end."""
        return len(self.jobs) / self.wall_s

    def upload_s(self) -> list[float]:
        return [each.took_s for each in self.log.sent]

    def upload_to_done_s(self) -> list[float]:
        return [self.jobs[each.uid].finished - each.began for each in self.log.sent]

    def claim_to_done_s(self) -> list[float]:
        return [each.finished - each.claimed for each in self.jobs.values()]

    def memory_growth(self) -> float | None:
        """Memory of the last fifth of the jobs by that of the second fifth, minus 1; None where
        there were too few looks."""
        total = [(count, sum(used.values())) for count, used in self.memory]
        jobs = len(self.jobs)
        early = [mib for count, mib in total if 0.2 * jobs <= count < 0.4 * jobs]
        late = [mib for count, mib in total if count >= 0.8 * jobs]
        if min(len(early), len(late)) < _FEW:
            return None
        return median(late) / median(early) - 1


def measure(
    server: Pixerve,
    job: dict[str, Any],
    picture: Source,
    numbers: range,
    concurrency: int,
    *,
    in_flight: int | None = None,
    strangers: tuple[Source, range] | None = None,
) -> Outcome:
    """Upload these at this concurrency, with at most `in_flight` jobs that have not ended, and wait
    for the end of all. Meanwhile `strangers` come with one upload each.

    Raises AssertionError where jobs stop ending.
    """
    gate = Gate(in_flight)
    token = make_token(job, subject=TENANT, lifetime_s=24 * 3600)
    with closing(Watch(server, len(numbers), gate.leave)) as watch:
        before, started = cpu(server), time.monotonic()
        with visiting(server, watch, *strangers) if strangers else nullcontext(Visitors()) as them:
            log = upload_all(server, token, picture, numbers, concurrency=concurrency, gate=gate)
            accepted_s = time.monotonic() - started
            watch.wait(len(log.sent))
        watch.wait(len(log.sent) + len(them.log.sent))
        wall_s, spent = time.monotonic() - started, between(before, cpu(server))
        jobs, gone = _jobs(watch), _missing(server, watch)
        log.errors += them.log.errors
        visits = them.visits(jobs, TENANT)
        return Outcome(log, jobs, spent, accepted_s, wall_s, watch.memory, gone, visits)


def _jobs(watch: Watch) -> dict[str, Ended]:
    """By id, without dashes."""
    found = watch.rows(
        "SELECT uid, subject, state, created_at, claimed_at, finished_at FROM jobs_job WHERE id > ?"
    )
    return {
        uuid.UUID(str(uid)).hex: Ended(subject, state, *map(_unix, times))
        for uid, subject, state, *times in found
    }


def _unix(at: Any) -> float:
    """SQLite has texts in UTC."""
    if isinstance(at, str):
        at = datetime.fromisoformat(at).replace(tzinfo=UTC)
    return float(at.timestamp()) if at else float("nan")


def _missing(server: Pixerve, watch: Watch) -> int:
    """Hosted files that are not there, or not as long as their records say."""
    gone = 0
    for key, size in watch.rows("SELECT key, bytes FROM jobs_rendition WHERE job_id > ?"):
        try:
            gone += (server.serve_dir / key).stat().st_size != size
        except FileNotFoundError:
            gone += 1
    return gone
