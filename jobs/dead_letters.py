"""Dead letters: failed jobs, past all tries of their own. Which there are, and replaying many.

They are kept, with what a replay needs, for `PIXERVE_FAILED_RETENTION_DAYS` and within
`PIXERVE_FAILED_KEEP_BYTES`; `jobs.retention` sees to that.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, QuerySet

from jobs import lifecycle
from jobs.errors import Refused
from jobs.models import Failure, Job
from jobs.states import State


@dataclass
class Replayed:
    """What came of replaying many."""

    done: int = 0
    refused: list[tuple[Job, Refused]] = field(default_factory=list)


def replayable() -> QuerySet[Job]:
    """Failed jobs whose upload is kept, those that failed first in front."""
    failed = Job.objects.filter(state=State.FAILED, has_source=True)
    return failed.order_by("finished_at", "id")


def kept_until(job: Job) -> datetime | None:
    """Until when a failed job can be replayed, if no younger ones need the room."""
    if job.state != State.FAILED or not job.has_source or job.finished_at is None:
        return None
    return job.finished_at + timedelta(days=settings.PIXERVE.failed_retention_days)


def times_failed(jobs: Iterable[Job]) -> dict[int, int]:
    """How often each has failed, by its key."""
    rows = Failure.objects.filter(job__in=[job.pk for job in jobs])
    return dict(rows.order_by().values_list("job").annotate(Count("pk")))


def replay(jobs: Iterable[Job]) -> Replayed:
    """Replay each in a transaction of its own: who is cut off in the middle may begin again, as
    those that were replayed are no longer failed."""
    found = Replayed()
    for job in jobs:
        try:
            lifecycle.replay(job)
        except Refused as refused:
            found.refused.append((job, refused))
        else:
            found.done += 1
    return found
