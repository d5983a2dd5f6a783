"""A job that ends without outputs leaves none below `/files/`, whatever was killed before."""

from pathlib import Path

import pytest
from pytest_django import Settings

from jobs import intake, lifecycle, outcomes, transitions
from jobs.models import HostedFile, Job
from jobs.spec import load
from tests.jobs.making import SMALL_JOB, claim, make_job, put_in_state

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def serve(settings: Settings, tmp_path: Path) -> Path:
    settings.PIXERVE = settings.PIXERVE.model_copy(update={"serve_dir": tmp_path / "serve"})
    return tmp_path / "serve"


def published(serve: Path, job: Job) -> list[Path]:
    """What a claim has put there, and was killed."""
    spec = load(job.spec)
    made = intake.outputs(spec, job.reference_id, job.stem, job.source_format)
    paths = [serve / (spec.sub_dir or "") / each.name for each in made]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half a job")
    return paths


def killed(serve: Path, **job: object) -> tuple[Job, list[Path]]:
    """A claimed job whose files are there, and whose outcome is not."""
    make_job(job={**SMALL_JOB, **job})
    held = claim()
    return held, published(serve, held)


def test_a_cancelled_job_leaves_no_files(serve: Path) -> None:
    job, [path] = killed(serve, subDir="a/b")
    beside = serve / "a" / "other.jpg"
    beside.write_bytes(b"somebody else's")
    transitions.put_back(job)
    lifecycle.cancel(Job.objects.get(pk=job.pk))
    assert [each for each in serve.rglob("*") if each.is_file()] == [beside]
    assert not path.parent.exists()


@pytest.mark.parametrize("private", [False, True])
def test_a_failed_job_leaves_no_files(serve: Path, private: bool) -> None:
    job, [path] = killed(serve, private=private)
    outcomes.announce(job, [path.name], private=private)
    assert outcomes.fail(job, "worker_lost", "lost")
    assert not path.exists()
    assert not HostedFile.objects.exists()


def test_who_lost_his_lease_removes_nothing(serve: Path) -> None:
    job, [path] = killed(serve)
    assert transitions.put_back(job)
    assert not outcomes.fail(job, "worker_lost", "lost")
    assert path.exists()


def test_what_an_earlier_job_recorded_stays(serve: Path) -> None:
    first = put_in_state(make_job(), "completed")
    [path] = published(serve, first)
    HostedFile.objects.create(
        path=path.name, job=first, sha256="ab", bytes=10, mtime_ns=1, media_type="image/jpeg"
    )
    again = make_job()
    held = claim()
    transitions.put_back(held)
    lifecycle.cancel(again)
    assert path.exists()


def test_a_spec_that_is_none_any_more_hinders_no_end(serve: Path) -> None:
    make_job()
    job = claim()
    job.spec = {"formats": {"gone": {}}}
    assert outcomes.fail(job, "internal_error", "an internal error")
