"""How much of the workers one subject may have: `PIXERVE_MAX_CONCURRENT_PER_SUBJECT`.

Where it is off, a claim does not come by here. Where it is on, the subjects that have their share
are counted from the leases: there are as few rows of those as there are workers. The best job of
anybody else is nearly always among the first of the queue; where a full subject's backlog stands
before it, each subject's own best is looked at, which costs by subjects and not by jobs, and what
was found serves the next claims too.
"""

import time
from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from jobs import locks
from jobs.models import Job

HEAD = 50
LOOK_EVERY_S = 1.0
_TABLE = Job._meta.db_table
_RUNNABLE = "state = 'pending' AND run_after <= %(now)s"

_FULL = f"""
SELECT subject FROM {_TABLE} WHERE state = 'processing' AND owner > ''
 GROUP BY subject HAVING COUNT(*) >= %s
"""  # noqa: S608 - no value of a caller is in it

_HEAD = f"""
SELECT id, subject FROM {_TABLE} WHERE {_RUNNABLE} ORDER BY priority, turn, id LIMIT {HEAD}
"""  # noqa: S608 - no value of a caller is in it

# From subject to subject along `job_turns`, as neither database skips through an index by itself.
_BESTS = f"""
WITH RECURSIVE waiting(subject) AS (
    SELECT MIN(subject) FROM {_TABLE} WHERE state = 'pending'
    UNION ALL
    SELECT (SELECT MIN(next.subject) FROM {_TABLE} next
             WHERE next.state = 'pending' AND next.subject > waiting.subject)
      FROM waiting WHERE waiting.subject IS NOT NULL)
SELECT best.id, best.subject, best.priority FROM waiting JOIN {_TABLE} best ON best.id = (
       SELECT id FROM {_TABLE} mine WHERE mine.subject = waiting.subject AND {_RUNNABLE}
        ORDER BY priority, turn, id LIMIT 1)
 ORDER BY best.priority, best.turn, best.id
"""  # noqa: S608 - no value of a caller is in it


_STILL = f"""
SELECT 1 FROM {_TABLE} WHERE id = %(id)s AND subject = %(subject)s AND {_RUNNABLE}
"""  # noqa: S608 - no value of a caller is in it


def limited() -> bool:
    """Whether there is a limit at all."""
    return bool(settings.PIXERVE.max_concurrent_per_subject)


def full() -> frozenset[str]:
    """The subjects of which workers hold as many jobs as they may."""
    with connection.cursor() as cursor:
        cursor.execute(_FULL, [settings.PIXERVE.max_concurrent_per_subject])
        return frozenset(subject for (subject,) in cursor.fetchall())


def best() -> int | None:
    """The key of the best runnable job of a subject that does not have its share yet."""
    beyond = full()
    head = _ask(_HEAD)
    found = next((pk for pk, subject in head if subject not in beyond), None)
    if found is None and len(head) == HEAD:
        found = _walk.best(beyond)
    return found


def _ask(sql: str, **values: Any) -> list[tuple[Any, ...]]:
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(sql, {"now": now, **values})
        return list(cursor.fetchall())


class Walk:
    """The best job of each waiting subject, looked up from subject to subject and then used up one
    after the other, for a second at most."""

    def __init__(self) -> None:
        self._bests: list[tuple[Any, ...]] = []
        self._until = float("-inf")

    def best(self, beyond: Collection[str]) -> int | None:
        """The first of a subject that is not `beyond` its share."""
        found = self._next(beyond) if time.monotonic() < self._until else None
        if found is None:
            self._bests = _ask(_BESTS)
            self._until = time.monotonic() + LOOK_EVERY_S
            found = self._next(beyond)
        return found

    def _next(self, beyond: Collection[str]) -> int | None:
        gone: int | None = None
        for row in [each for each in self._bests if each[1] not in beyond]:
            pk, subject, priority = row
            if gone is not None and priority > gone:
                return None  # the next job of one that is gone may come first
            if _ask(_STILL, id=pk, subject=subject):
                return int(pk)
            self._bests.remove(row)
            gone = priority
        return None


_walk = Walk()


def count_alone() -> None:
    """From here to the end of the transaction nobody else claims: of two who count at the same
    time, both could take the last place. SQLite has one writer anyway."""
    locks.hold(locks.Lock.CLAIMS)
