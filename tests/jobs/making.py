"""Jobs for tests, made the way an upload makes them."""

from typing import Any

from django.utils import timezone

from jobs import intake, spec, transitions
from jobs.incoming import Incoming, Staged
from jobs.models import Callback, Event, Job
from tests.server import IMAGES

DOT = (IMAGES / "pst_s01n3p01.png").read_bytes()
HOPPER = (IMAGES / "pil_hopper.jpg").read_bytes()
TRUNCATED = (IMAGES / "pil_truncated_jpeg.jpg").read_bytes()
SMALL_JOB: dict[str, Any] = {"formats": {"jpg": {"sizes": [[40, 30]]}}, "directHost": True}
LIMIT = 10 * 2**20


def picture(number: int) -> bytes:
    """A picture of one pixel with a content of its own."""
    return DOT + f"padding {number}".encode()


def stage(content: bytes = DOT, name: str = "dot.png") -> Staged:
    incoming = Incoming(name, limit=LIMIT)
    incoming.write(content)
    return incoming.finish()


def make_job(
    subject: str = "alice",
    content: bytes = DOT,
    job: dict[str, Any] | None = None,
    name: str = "dot.png",
) -> Job:
    """A pending job."""
    return intake.accept(stage(content, name), spec.parse(job or SMALL_JOB), subject).job


def claim(owner: str = "here/1/1") -> Job:
    """The best job, claimed by `owner`."""
    job = transitions.claim_best(owner)
    assert job is not None
    return job


def put_in_state(job: Job, state: str, **changes: Any) -> Job:
    """Write a state past all rules, to start a test from it."""
    ended = state in {"completed", "failed", "cancelled"}
    Job.objects.filter(pk=job.pk).update(
        **{"state": state, "finished_at": timezone.now() if ended else None, **changes}
    )
    job.refresh_from_db()
    return job


def owe(job: Job, **fields: Any) -> Callback:
    """A callback of `job` with the event that it tells, written past all rules."""
    told = {"type": "job.completed", "payload": {"hash": job.reference_id}}
    told |= {name: fields.pop(name) for name in ("type", "payload") if name in fields}
    event = Event.objects.create(job=job, subject=job.subject, **told)
    fields = {"url": "https://a.example/hook"} | fields
    return Callback.objects.create(job=job, event=event, **fields)
