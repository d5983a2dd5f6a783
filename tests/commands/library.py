"""Rows for the tests of the management commands, written as the product writes them."""

from datetime import timedelta

from django.utils import timezone

from jobs import staging
from jobs.models import Job, Reference
from jobs.states import FINAL, State


def make_job(mark: str, state: State, *, days_old: int = 0, kept_source: bool = False) -> Job:
    """A job in `state` that ended (or was accepted) `days_old` days ago."""
    then = timezone.now() - timedelta(days=days_old)
    sha256 = mark.encode().hex().ljust(64, "0")
    job = Job.objects.create(
        subject="alice",
        sha256=sha256,
        reference=Reference.objects.create(name=sha256, sha256=sha256, subject="alice"),
        state=state,
        spec={"formats": {"jpg": {}}, "directHost": True},
        upload_name=f"{mark}.jpg",
        stem=mark,
        source_format="jpeg",
        source_bytes=3,
        total=1,
        has_source=kept_source or state not in FINAL,
        created_at=then,
        finished_at=then if state in FINAL else None,
    )
    if job.has_source:
        put_source(job)
    return job


def put_source(job: Job) -> None:
    staging.folder(job.uid).mkdir(parents=True)
    staging.source_path(job.uid).write_bytes(b"abc")
