"""What is kept for how long: records, and sources of failed jobs.

Purging never touches an output: a hosted file and its row stay until somebody deletes them.
"""

import heapq
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet, Subquery, Sum
from django.utils import timezone
from django_q.models import Schedule

from jobs import staging, sweeping
from jobs.models import CallbackState, Delivery, HostedFile, Job, Reference, Rendition
from jobs.states import FINAL, State

BATCH = 500
DAILY = "jobs.retention.daily"
CLEAN_S = 240.0  # at a time; less than any timeout of a task

# The clerk asks often; written out, so that both databases answer from `job_kept`.
_KEPT_BYTES = f"""
SELECT COALESCE(SUM(source_bytes), 0) FROM {Job._meta.db_table}
 WHERE state = 'failed' AND has_source
"""  # noqa: S608 - no value of a caller is in it


@dataclass(frozen=True)
class Pruned:
    """What was removed, or would be."""

    jobs: int = 0
    sources: int = 0
    references: int = 0


def _days_ago(days: int) -> datetime:
    return timezone.now() - timedelta(days=days)


def expired_jobs() -> QuerySet[Job]:
    """Ended jobs past `PIXERVE_RETENTION_DAYS`, those with a callback under way aside."""
    return Job.objects.filter(
        state__in=FINAL, finished_at__lt=_days_ago(settings.PIXERVE.retention_days)
    ).exclude(callbacks__state__in=[CallbackState.WAITING, CallbackState.SENDING])


def expired_sources() -> QuerySet[Job]:
    """Failed jobs whose source was kept for `PIXERVE_FAILED_RETENTION_DAYS`."""
    return Job.objects.filter(
        state=State.FAILED,
        has_source=True,
        finished_at__lt=_days_ago(settings.PIXERVE.failed_retention_days),
    )


def _staged_bytes() -> int:
    """What failed jobs keep in staging: their uploads, and files that were made and not delivered
    everywhere."""
    with connection.cursor() as cursor:
        cursor.execute(_KEPT_BYTES)
        [[uploads]] = cursor.fetchall()
    if not uploads:
        return 0
    made = Rendition.objects.filter(job__in=_failed_and_kept().filter(made_by__gt=0))
    return int(uploads) + int(made.aggregate(total=Sum("bytes"))["total"] or 0)


def _failed_and_kept() -> QuerySet[Job]:
    return Job.objects.filter(state=State.FAILED, has_source=True)


def over_budget() -> list[Job]:
    """Failed jobs whose kept bytes are beyond `PIXERVE_FAILED_KEEP_BYTES`: always the oldest of the
    subject that keeps most, so that nobody's failures cost the others theirs."""
    excess = _staged_bytes() - settings.PIXERVE.failed_keep_bytes
    found: list[Job] = []
    if excess <= 0:
        return found
    made = Rendition.objects.filter(job=OuterRef("pk")).order_by().values("job")
    made_bytes = Subquery(made.annotate(total=Sum("bytes")).values("total"))
    oldest = _failed_and_kept().order_by("finished_at", "id").annotate(made_bytes=made_bytes)
    keeps: Counter[str] = Counter()
    for each in oldest.iterator(chunk_size=BATCH):
        keeps[each.subject] += _kept_by(each)
    # Of two that keep the same the one whose failures are older, which was met first.
    largest = [(-total, place, subject) for place, (subject, total) in enumerate(keeps.items())]
    heapq.heapify(largest)
    theirs: dict[str, Iterator[Any]] = {}
    while excess > 0 and largest:
        total, place, subject = heapq.heappop(largest)
        if subject not in theirs:
            theirs[subject] = oldest.filter(subject=subject).iterator(chunk_size=BATCH)
        job: Any = next(theirs[subject], None)
        if job is None:
            continue
        found.append(job)
        excess -= _kept_by(job)
        heapq.heappush(largest, (total + _kept_by(job), place, subject))
    return found


def _kept_by(job: Any) -> int:
    """Bytes in staging of a job that `over_budget` found."""
    return int(job.source_bytes + ((job.made_bytes or 0) if job.made_by else 0))


def unused_references(jobs: QuerySet[Job] | None = None) -> QuerySet[Reference]:
    """Names that no hosted file bears, nor any of `jobs` (all of them where None), and that were
    never delivered."""
    bearers = Job.objects.all() if jobs is None else jobs | _with_deliveries(Job.objects.all())
    return Reference.objects.filter(
        ~Exists(bearers.filter(reference=OuterRef("pk"))),
        ~Exists(HostedFile.objects.filter(reference=OuterRef("pk"))),
        delivered=False,
    )


def _forget_source(job: Job) -> bool:
    """The row first, and only if nobody replayed it since it was looked at."""
    rows = _failed_and_kept().filter(pk=job.pk, fence=job.fence, finished_at=job.finished_at)
    if not rows.update(has_source=False):
        return False
    staging.discard(job.uid)
    return True


def _forget_sources() -> int:
    count = 0
    while jobs := list(expired_sources()[:BATCH]):
        count += sum(map(_forget_source, jobs))
    return count + keep_within_budget()


def keep_within_budget() -> int:
    """Forget the uploads that failed first, until the others are within the budget; returns how
    many. The clerk calls it every few seconds."""
    return sum(map(_forget_source, over_budget()))


def _with_deliveries(jobs: QuerySet[Job]) -> QuerySet[Job]:
    return jobs.filter(Exists(Delivery.objects.filter(rendition__job=OuterRef("pk"))))


def _forget_jobs(until: float = math.inf) -> int:
    count = 0
    while jobs := list(expired_jobs()[:BATCH]):
        rows = Job.objects.filter(pk__in=[job.pk for job in jobs])
        with transaction.atomic():
            # A delete goes by the ids alone; with the rows locked nobody replays one meanwhile.
            still = expired_jobs().select_for_update(of=("self",)).filter(pk__in=rows.values("pk"))
            going = rows.filter(pk__in=list(still.order_by("pk").values_list("pk", flat=True)))
            delivered = list(_with_deliveries(going).values_list("reference", flat=True))
            Reference.objects.filter(pk__in=delivered, delivered=False).update(delivered=True)
            going.delete()
        # One that was replayed at this moment is still there, and needs its source.
        staying = set(rows.values_list("pk", flat=True))
        for job in jobs:
            if job.pk not in staying:
                staging.discard(job.uid)
        count += len(jobs) - len(staying)
        if time.monotonic() >= until:
            break
    return count


def _forget_references(until: float = math.inf) -> int:
    count, last = 0, ""
    # Each name is looked at once: of those that stay there may be many.
    while names := list(_unused_behind(last).values_list("pk", flat=True)[:BATCH]):
        last = names[-1]
        with transaction.atomic():
            locked = Reference.objects.select_for_update().filter(pk__in=names).order_by("pk")
            still = unused_references().filter(pk__in=[each.pk for each in locked])
            removed, _ = still.delete()
        count += removed
        if time.monotonic() >= until:
            break
    return count


def _unused_behind(name: str) -> QuerySet[Reference]:
    return unused_references().filter(pk__gt=name).order_by("pk")


def prune_jobs(*, dry_run: bool = False, until: float = math.inf) -> Pruned:
    """Remove what is past its time, and stop soon after `until` (monotonic seconds) with the rest
    left; with `dry_run` only count it."""
    if dry_run:
        staying = Job.objects.exclude(pk__in=expired_jobs().values("pk"))
        sources = {job.pk for job in over_budget()}
        sources |= set(expired_sources().values_list("pk", flat=True))
        return Pruned(expired_jobs().count(), len(sources), unused_references(staying).count())
    return Pruned(
        sources=_forget_sources(), jobs=_forget_jobs(until), references=_forget_references(until)
    )


def daily() -> None:
    """What the daily schedule runs. A day's worth of a busy installation is more than a task may
    take (django-q2 would kill the worker): what is left is the next run's, at once."""
    until = time.monotonic() + CLEAN_S
    sweeping.prune_staging()
    prune_jobs(until=until)
    if time.monotonic() >= until:
        Schedule.objects.filter(func=DAILY).update(next_run=timezone.now())
