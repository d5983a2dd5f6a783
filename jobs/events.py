"""Events: each end of a job is told here, in the transaction of its outcome.

Every end is an Event, which `/v1/events` gives in order; where the token asks for it there is a
Callback too. A lost webhook is therefore never lost data.
"""

import time
from datetime import timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Field, Model
from django.utils import timezone

from jobs import bells
from jobs.models import Callback, Event, EventType, Job

# What clients of the original were never told of, they are told of only when they ask for it.
DEFAULT_TYPES = (EventType.COMPLETED, EventType.FAILED)
_LOCK = 0x7069_7865  # any number that nobody else locks


def tell(job: Job, event: EventType, *, file_count: int = 0, **more: Any) -> None:
    """Write that `job` ended so, and the callback where one is wanted.

    Call it last in the transaction of the outcome. `more` goes into the payload, beside what the
    original's payload holds: {"hash", "status", "file_count", "timestamp", "job_data"}.
    """
    payload = {
        "hash": job.reference_id,
        "status": event.removeprefix("job."),
        "file_count": file_count,
        "timestamp": int(time.time()),
        "job_data": job.spec,
        **more,
    }
    row = Event(job_id=job.pk, subject=job.subject, type=event, payload=payload)
    _stand_in_line()
    _insert(row)
    if wanted(job.spec, event):
        _owe(job, row)


def wanted(spec: dict[str, Any], event: EventType) -> bool:
    """Whether the instructions ask for a callback at this event."""
    return bool(spec.get("completionCallback")) and event in spec.get(
        "callbackEvents", DEFAULT_TYPES
    )


def _owe(job: Job, event: Event) -> None:
    wait_s = settings.PIXERVE.callback_schedule[0]
    callback = Callback(
        job_id=job.pk,
        event_id=event.pk,
        url=job.spec["completionCallback"],
        sealed_headers=job.sealed_headers,
        next_at=timezone.now() + timedelta(seconds=wait_s),
    )
    _insert(callback)
    transaction.on_commit(bells.clerk.ring)


def _stand_in_line() -> None:
    """Let events become visible in the order of their ids.

    SQLite has one writer at a time. PostgreSQL hands out ids at once and shows rows at COMMIT, so
    a reader could pass by an id that appears later: there, who has a number holds this lock until
    its COMMIT.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _insert(row: Model) -> None:
    """What `row.save()` does to a new row, by a statement that is made once: it runs for every
    job."""
    sql, fields = _insert_statement(type(row), connection.vendor)
    values = [field.get_db_prep_save(field.pre_save(row, add=True), connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        row.pk = cursor.fetchone()[0]


@cache
def _insert_statement(model: type[Model], vendor: str) -> tuple[str, tuple["Field[Any, Any]", ...]]:
    quote = connection.ops.quote_name
    fields = tuple(each for each in model._meta.local_concrete_fields if not each.primary_key)
    columns = ", ".join(quote(str(each.column)) for each in fields)
    marks = ", ".join(["%s"] * len(fields))
    sql = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({marks}) RETURNING id"  # noqa: S608 - no value of a caller is in it
    return sql, fields
