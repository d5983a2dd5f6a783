"""The ends of a job: outcome, record and event in one transaction, or none of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.utils import timezone

from encoders.plan import Rendition as Made
from jobs import events, names, rows, staging, transitions
from jobs.leases import LeaseLost
from jobs.models import EventType, Failure, HostedFile, Job, Rendition, Success

MAX_MESSAGE = 1000


@dataclass(frozen=True)
class Published:
    """One file as it lies below `/files/`."""

    key: str
    sha256: str
    bytes: int
    mtime_ns: int
    media_type: str


@dataclass(frozen=True)
class Product:
    """What a job made: the renditions, where they are hosted, what to know about them."""

    renditions: Sequence[Made]
    published: Sequence[Published] = ()
    warnings: Sequence[dict[str, str]] = ()
    timings: dict[str, float] = field(default_factory=dict)


def complete(job: Job, product: Product) -> None:
    """processing → completed. Raises LeaseLost, and then nothing was written."""
    with transaction.atomic():
        done = transitions.finish(
            job,
            done=len(product.renditions),
            has_source=False,
            warnings=list(product.warnings),
            timings=product.timings,
        )
        if not done:
            raise LeaseLost(str(job.uid))
        _write_renditions(job, product.renditions)
        _write_hosted(job, product.published)
        _write_success(job, product.renditions)
        count, warnings = len(product.renditions), list(product.warnings)
        events.tell(job, EventType.COMPLETED, file_count=count, warnings=warnings)
        transaction.on_commit(lambda: staging.discard(job.uid))


def fail(job: Job, code: str, message: str) -> bool:
    """processing → failed; the source stays in staging for a replay. False if the lease is lost."""
    message = message[:MAX_MESSAGE]
    with transaction.atomic():
        if not transitions.fail(job, code, message):
            return False
        Failure.objects.create(
            job=job,
            reference_id=job.reference_id,
            subject=job.subject,
            job_data=job.spec,
            code=code,
            message=message,
        )
        events.tell(job, EventType.FAILED, error={"code": code, "message": message})
        transaction.on_commit(lambda: staging.keep_source_only(job.uid, job.fence))
    return True


def _write_renditions(job: Job, made: Sequence[Made]) -> None:
    sub_dir = job.spec.get("subDir") or ""
    keys = {each.name: names.object_key(sub_dir, each.name) for each in made}
    for key in keys.values():
        # A key holds the reference, so older renditions of this key are this subject's own.
        older = {"key": key, "superseded": False}
        rows.update(Rendition, {"superseded": True}, where=older)
    renditions = [
        {"job_id": job.pk, "key": keys[each.name], "superseded": False, **vars(each)}
        for each in made
    ]
    rows.insert(Rendition, renditions)


def _write_hosted(job: Job, published: Sequence[Published]) -> None:
    hosted = [
        {
            "path": each.key,
            "job_id": job.pk,
            "reference_id": job.reference_id,
            "sha256": each.sha256,
            "bytes": each.bytes,
            "mtime_ns": each.mtime_ns,
            "media_type": each.media_type,
        }
        for each in published
    ]
    rows.insert(HostedFile, hosted, replace_by="path")


def _write_success(job: Job, made: Sequence[Made]) -> None:
    success = {
        "job_id": job.pk,
        "reference_id": job.reference_id,
        "subject": job.subject,
        "timestamp": timezone.now(),
        "job_data": job.spec,
        "file_count": len(made),
        "output_bytes": sum(each.bytes for each in made),
    }
    rows.insert(Success, [success])
