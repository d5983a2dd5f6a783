"""Events: each end of a job is told here, in the transaction of its outcome.

Every end is an Event, which `/v1/events` gives in order; where the token asks for it there is a
Callback too. A lost webhook is therefore never lost data.
"""

import time
import uuid
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from jobs import bells, locks, rows
from jobs.models import Callback, CallbackState, Event, EventType, Job

# What clients of the original were never told of, they are told of only when they ask for it.
DEFAULT_TYPES = (EventType.COMPLETED, EventType.FAILED)


def tell(job: Job, kind: EventType, *, file_count: int = 0, **more: Any) -> None:
    """Write that `job` ended so, and the callback where one is wanted.

    Call it last in the transaction of the outcome. `more` goes into the payload, beside what the
    original's payload holds: {"hash", "status", "file_count", "timestamp", "job_data"}.
    """
    payload = {
        "hash": job.reference_id,
        "status": kind.removeprefix("job."),
        "file_count": file_count,
        "timestamp": int(time.time()),
        "job_data": job.spec,
        **more,
    }
    event = {
        "message_id": uuid.uuid4(),
        "job_id": job.pk,
        "subject": job.subject,
        "type": kind.value,
        "payload": payload,
        "at": timezone.now(),
    }
    # Ids are handed out at once, rows are seen from COMMIT on: without this a reader could pass by
    # an id that appears later.
    locks.hold(locks.Lock.EVENTS)
    pk = rows.insert_one(Event, event)
    if wanted(job.spec, kind):
        _owe(job, pk)


def wanted(spec: dict[str, Any], kind: EventType) -> bool:
    """Whether the instructions ask for a callback at this event."""
    return bool(spec.get("completionCallback")) and kind in spec.get(
        "callbackEvents", DEFAULT_TYPES
    )


def endpoint_of(url: str) -> str:
    """The host and port that a callback's URL names: what may be slow; "" where it names none."""
    try:
        parts = urlsplit(str(url))
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return ""
    return f"{(parts.hostname or '').rstrip('.')}:{port}"


def _owe(job: Job, event_id: int) -> None:
    now = timezone.now()
    callback = {
        "job_id": job.pk,
        "event_id": event_id,
        "url": job.spec["completionCallback"],
        "endpoint": endpoint_of(job.spec["completionCallback"]),
        "sealed_headers": job.sealed_headers,
        "state": CallbackState.WAITING.value,
        "attempts_made": 0,
        "attempts_before": 0,
        "next_at": now + timedelta(seconds=settings.PIXERVE.callback_schedule[0]),
        "fence": 0,
        "owner": "",
        "created_at": now,
    }
    rows.insert(Callback, [callback])
    transaction.on_commit(bells.clerk.ring, robust=True)
