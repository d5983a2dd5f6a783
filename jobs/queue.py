"""The queue is the job table: what is runnable, and in which order."""

from datetime import datetime

from django.db.models import QuerySet
from django.utils import timezone

from jobs.models import Job
from jobs.states import State

HEAD = 100


def runnable() -> QuerySet[Job]:
    """Jobs that a worker may claim now, best first: by priority, then in turns."""
    return Job.objects.filter(state=State.PENDING, run_after__lte=timezone.now()).order_by(
        "priority", "turn", "id"
    )


def oldest_wait() -> datetime | None:
    """Since when the longest waiting of the next runnable jobs has been waiting.

    Looks at the head of the queue only: what is old there is what a worker should have taken.
    """
    head = runnable().values_list("run_after", flat=True)[:HEAD]
    return min(head, default=None)
