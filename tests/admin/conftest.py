"""Jobs in every state, made without a worker, and a browser that is signed in."""

import uuid
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from delivery.hosting import HostedRoot
from jobs import staging
from jobs.models import HostedFile, Job, Reference, Rendition
from jobs.states import FINAL, State
from tests.server import EXAMPLE_JOB

HOSTILE = "<script>alert(1)</script>"
MakeJob = Callable[..., Job]


@pytest.fixture
def staff(db: None) -> Client:
    """A signed-in member of staff without any single permission, as the API knows them."""
    client = Client()
    client.force_login(User.objects.create_user("staff", password="x", is_staff=True))
    return client


@pytest.fixture
def make_job(db: None) -> Iterator[MakeJob]:
    """Makes a job: `make_job(State.FAILED, upload_name="a.jpg")`; its source is in staging."""
    made: list[Job] = []

    def make(state: State = State.COMPLETED, *, source: bool = True, **fields: Any) -> Job:
        content = sha256(uuid.uuid4().bytes).hexdigest()
        subject = fields.setdefault("subject", "user-123")
        reference = Reference.objects.create(name=content, sha256=content, subject=subject)
        fields = {
            "reference": reference,
            "sha256": content,
            "spec": EXAMPLE_JOB,
            "upload_name": "photo.jpg",
            "stem": "photo",
            "source_format": "jpeg",
            "source_bytes": 1000,
            "total": 4,
            "finished_at": timezone.now() if state in FINAL else None,
        } | fields
        job = Job.objects.create(state=state, **fields)
        if source:
            staging.folder(job.uid).mkdir(parents=True)
            staging.source_path(job.uid).write_bytes(b"source")
        made.append(job)
        return job

    yield make
    for job in made:
        staging.discard(job.uid)


def host(job: Job, name: str = "a.jpg", *, content: bytes = b"picture", **fields: Any) -> Rendition:
    """Put one rendition of `job` below /files/, as the pipeline does."""
    key = f"{job.uid}/{name}"
    source = staging.root() / f"{uuid.uuid4()}.tmp"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(content)
    HostedRoot(Path(settings.PIXERVE.serve_dir)).publish(source, key)
    digest = sha256(content).hexdigest()
    HostedFile.objects.create(
        path=key,
        job=job,
        reference=job.reference,
        sha256=digest,
        bytes=len(content),
        mtime_ns=1,
        media_type="image/jpeg",
    )
    fields = {"format": "jpg", "width": 8, "height": 6, "encode_ms": 3.0} | fields
    return Rendition.objects.create(
        job=job, name=name, key=key, bytes=len(content), sha256=digest, **fields
    )


def hosted_path(key: str) -> Path:
    return Path(settings.PIXERVE.serve_dir) / key
