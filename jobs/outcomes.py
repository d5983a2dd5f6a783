"""The ends of a job: outcome, record and event in one transaction, or none of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction
from django.utils import timezone

from encoders.plan import Rendition as Made
from jobs import events, names, rows, staging, strays, transitions
from jobs.leases import LeaseLost
from jobs.models import EventType, Failure, HostedFile, Job, Rendition, Success

MAX_MESSAGE = 1000
_NOTHING_YET = {"sha256": "", "bytes": 0, "mtime_ns": 0, "media_type": ""}


@dataclass(frozen=True)
class Published:
    """One file as it lies below `/files/`."""

    key: str
    sha256: str
    bytes: int
    mtime_ns: int
    media_type: str

    def at(self, size: int, mtime_ns: int) -> "Published":
        """The same as it was found to lie there."""
        return replace(self, bytes=size, mtime_ns=mtime_ns)


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
        write_renditions(job, product.renditions)
        write_hosted(job, product.published)
        _write_success(job, product.renditions)
        count, warnings = len(product.renditions), list(product.warnings)
        events.tell(job, EventType.COMPLETED, file_count=count, warnings=warnings)
        transaction.on_commit(lambda: staging.discard(job.uid))


def complete_delivered(job: Job, **told: Any) -> None:
    """processing → completed for a job whose renditions have rows already; call it in the
    transaction that noted the last delivery. `told` goes into the callback."""
    if not transitions.finish(job, has_source=False):
        raise LeaseLost(str(job.uid))
    made = list(job.renditions.all())
    _write_success(job, made)
    # Written when the deliveries were planned, perhaps by another worker.
    warnings = Job.objects.values_list("warnings", flat=True).get(pk=job.pk)
    events.tell(job, EventType.COMPLETED, file_count=len(made), warnings=warnings, **told)
    transaction.on_commit(lambda: staging.discard(job.uid))


def fail(job: Job, code: str, message: str, **told: Any) -> bool:
    """processing → failed; what a replay needs stays in staging. False if the lease is lost.

    `told` goes into the callback.
    """
    message = message.replace("\0", "")[:MAX_MESSAGE]  # which PostgreSQL takes in no text
    with transaction.atomic():
        if not transitions.fail(job, code, message):
            return False
        strays.remove(job)
        Failure.objects.create(
            job=job,
            reference_id=job.reference_id,
            subject=job.subject,
            job_data=job.spec,
            code=code,
            message=message,
        )
        events.tell(job, EventType.FAILED, error={"code": code, "message": message}, **told)
        transaction.on_commit(
            lambda: staging.keep_for_replay(job.uid, job.fence, made_by=job.made_by)
        )
    return True


def write_renditions(job: Job, made: Sequence[Made]) -> None:
    """Rows for files that were made; older ones of the same key are superseded."""
    sub_dir = job.spec.get("subDir") or ""
    keys = {each.name: names.object_key(sub_dir, each.name) for each in made}
    # A key holds the reference, so older renditions of these keys are this subject's own.
    older = {"key": tuple(keys.values()), "superseded": False}
    rows.update(Rendition, {"superseded": True}, where=older)
    renditions = [
        {"job_id": job.pk, "key": keys[each.name], "superseded": False, **vars(each)}
        for each in made
    ]
    rows.insert(Rendition, renditions)


def supersede_others(job: Job) -> None:
    """The renditions of a job that goes on are the newest of their keys again."""
    keys = list(job.renditions.values_list("key", flat=True))
    others = Rendition.objects.filter(key__in=keys, superseded=False).exclude(job=job)
    others.update(superseded=True)
    job.renditions.filter(superseded=True).update(superseded=False)


def announce(job: Job, keys: Sequence[str], *, private: bool) -> None:
    """Rows for paths before their files appear there, so that a private one is so from the start.
    One that is there already only becomes private, never public."""
    # What a former job announced and never put there is this one's now; or it is swept before, and
    # then made anew.
    HostedFile.objects.filter(path__in=keys, sha256="").exclude(job=job).update(
        job=job, reference_id=job.reference_id
    )
    announced = [
        HostedFile(
            path=key, job=job, reference_id=job.reference_id, private=private, **_NOTHING_YET
        )
        for key in keys
    ]
    if private:
        HostedFile.objects.bulk_create(
            announced, update_conflicts=True, unique_fields=["path"], update_fields=["private"]
        )
    else:
        HostedFile.objects.bulk_create(announced, ignore_conflicts=True)


def write_hosted(job: Job, published: Sequence[Published]) -> None:
    hosted = [
        {
            "path": each.key,
            "job_id": job.pk,
            "reference_id": job.reference_id,
            "sha256": each.sha256,
            "bytes": each.bytes,
            "mtime_ns": each.mtime_ns,
            "media_type": each.media_type,
            "private": job.spec.get("private", False),
        }
        for each in published
    ]
    rows.insert(HostedFile, hosted, replace_by="path")


def _write_success(job: Job, made: Sequence[Made | Rendition]) -> None:
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
