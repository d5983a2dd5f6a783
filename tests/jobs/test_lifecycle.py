"""What people do to jobs: cancel, replay, delete outputs."""

from pathlib import Path

import pytest
from django.conf import settings

from jobs import lifecycle, pipeline, staging
from jobs.errors import Conflict, Gone
from jobs.models import HostedFile, Job
from tests.api.caller import Api, staged_folders
from tests.jobs.making import DOT, HOPPER, TRUNCATED, make_job, put_in_state

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]


def hosted() -> list[str]:
    root = Path(settings.PIXERVE.serve_dir)
    return sorted(str(file.relative_to(root)) for file in root.rglob("*") if file.is_file())


def done(content: bytes = HOPPER, subject: str = "alice") -> Job:
    job = make_job(subject, content)
    pipeline.wake()
    job.refresh_from_db()
    return job


def test_cancelling_frees_the_staged_bytes() -> None:
    lifecycle.cancel(make_job())
    assert staged_folders() == []


def test_a_replay_runs_from_the_kept_source() -> None:
    job = done(TRUNCATED)
    assert job.state == "failed"
    staging.source_path(job.uid).write_bytes(HOPPER)
    lifecycle.replay(job)
    pipeline.wake()
    job.refresh_from_db()
    assert (job.state, job.error_code, job.error_message) == ("completed", "", "")
    assert job.failures.count() == job.successes.count() == 1
    assert staged_folders() == []


def test_a_replay_may_fail_again() -> None:
    job = done(TRUNCATED)
    lifecycle.replay(job)
    pipeline.wake()
    job.refresh_from_db()
    assert (job.state, job.failures.count()) == ("failed", 2)


def test_a_replay_without_its_bytes_is_gone_for_good() -> None:
    job = done(TRUNCATED)
    staging.discard(job.uid)
    with pytest.raises(Gone):
        lifecycle.replay(job)
    job.refresh_from_db()
    assert (job.state, job.has_source) == ("failed", False)


@pytest.mark.parametrize("state", ["created", "pending", "processing", "completed", "cancelled"])
def test_only_the_failed_are_replayed(state: str) -> None:
    job = put_in_state(make_job(), state)
    with pytest.raises(Conflict) as caught:
        lifecycle.replay(job)
    assert caught.value.code == "not_failed"
    assert state in caught.value.message


def test_outputs_are_deleted_with_their_rows(api: Api) -> None:
    job = done()
    (name,) = hosted()
    assert lifecycle.delete_outputs(job) == 1
    assert hosted() == []
    assert not HostedFile.objects.exists()
    assert job.renditions.get().removed_at is not None
    assert api.get(f"/files/{name}").status_code == 404
    assert lifecycle.delete_outputs(job) == 0


def test_a_newer_jobs_outputs_stay() -> None:
    old = done()
    new = done()
    assert lifecycle.delete_outputs(old) == 0
    assert len(hosted()) == 1
    assert lifecycle.delete_outputs(new) == 1


@pytest.mark.parametrize("state", ["created", "pending", "processing"])
def test_outputs_of_a_job_in_flight(state: str) -> None:
    job = put_in_state(make_job(), state)
    with pytest.raises(Conflict) as caught:
        lifecycle.delete_outputs(job)
    assert caught.value.code == "in_flight"


@pytest.mark.parametrize("state", ["created", "pending", "processing"])
def test_outputs_wait_for_a_newer_job_that_may_publish_them_anew(state: str) -> None:
    old = done()
    there = hosted()
    new = put_in_state(make_job("alice", HOPPER), state)
    with pytest.raises(Conflict) as caught:
        lifecycle.delete_outputs(old)
    assert caught.value.code == "in_flight"
    assert "newer job" in caught.value.message
    assert hosted() == there
    put_in_state(new, "cancelled")
    assert lifecycle.delete_outputs(old) == 1
    assert hosted() == []


def test_the_same_picture_of_another_subject_does_not_matter() -> None:
    old = done()
    make_job("bob", HOPPER)
    assert lifecycle.delete_outputs(old) == 1


def test_a_file_that_is_gone_already_does_not_matter() -> None:
    job = done()
    for name in hosted():
        (Path(settings.PIXERVE.serve_dir) / name).unlink()
    assert lifecycle.delete_outputs(job) == 1


def test_a_file_that_cannot_be_removed_keeps_its_row() -> None:
    from delivery.errors import DeliveryError

    job = done(DOT)
    (name,) = hosted()
    root = Path(settings.PIXERVE.serve_dir)
    (root / name).unlink()
    root.rmdir()
    root.write_text("no folder any more")
    with pytest.raises((DeliveryError, OSError)):
        lifecycle.delete_outputs(job)
    assert HostedFile.objects.filter(path=name).exists()
