"""The queue is the job table: what is runnable, and in which order."""

from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from jobs import locks
from jobs.models import Job
from jobs.states import State

HEAD = 100

# In one statement, because it runs for every upload, inside the transaction that everybody waits
# for. A job that is backed off is not being served, however early its turn was.
_TURNS = f"""
SELECT (SELECT turn FROM {Job._meta.db_table}
         WHERE state = 'pending' AND priority = %(priority)s AND run_after <= %(now)s
         ORDER BY turn LIMIT 1),
       (SELECT MAX(turn) FROM {Job._meta.db_table}
         WHERE state = 'pending' AND subject = %(subject)s AND priority = %(priority)s)
"""  # noqa: S608 - no value of a caller is in it

# The pusher asks this for every job; the ORM takes twenty times as long to put the question. The
# order keeps PostgreSQL on the queue's index: while its statistics are those of a backlog that is
# gone, it would read the whole table to find the first of the many rows that it expects.
_ANY = f"""
SELECT 1 FROM {Job._meta.db_table} WHERE state = 'pending' AND run_after <= %s
 ORDER BY priority, turn, id LIMIT 1
"""  # noqa: S608 - no value of a caller is in it


def runnable() -> QuerySet[Job]:
    """Jobs that a worker may claim now, best first: by priority, then in turns."""
    return Job.objects.filter(state=State.PENDING, run_after__lte=timezone.now()).order_by(
        "priority", "turn", "id"
    )


def any_runnable() -> bool:
    """Whether a worker would find a job now."""
    with connection.cursor() as cursor:
        cursor.execute(_ANY, [connection.ops.adapt_datetimefield_value(timezone.now())])
        return cursor.fetchone() is not None


def next_turn(subject: str, priority: int) -> int:
    """The place in the queue that makes subjects take turns, for a job that becomes pending.

    Nobody starts behind another's backlog: a subject with nothing waiting gets the turn that is
    being served, one with a backlog gets the turn after its own last. Call it in the transaction
    that writes the turn.
    """
    # Uploads of one subject at the same moment would all come after the same one.
    locks.hold(locks.Lock.TURNS, subject)
    asked: dict[str, Any] = {"subject": subject, "priority": priority, "now": timezone.now()}
    with connection.cursor() as cursor:
        cursor.execute(_TURNS, asked)
        served, mine = cursor.fetchone()
    return max(served or 0, 0 if mine is None else mine + 1)


def oldest_wait() -> datetime | None:
    """Since when the longest waiting of the next runnable jobs has been waiting.

    Looks at the head of the queue only: what is old there is what a worker should have taken.
    """
    head = runnable().values_list("created_at", "run_after")[:HEAD]
    return min((max(created, run_after) for created, run_after in head), default=None)
