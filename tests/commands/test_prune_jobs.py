"""`manage.py prune_jobs`: records past their time go, outputs and everything else stay."""

import io
from pathlib import Path

import pytest
from django.core.management import call_command

from jobs import staging
from jobs.models import CallbackState, HostedFile, Job, Reference, Success
from jobs.states import State
from tests.commands.library import make_job
from tests.jobs.making import owe

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folders")]


def prune(*arguments: str) -> str:
    out = io.StringIO()
    call_command("prune_jobs", *arguments, stdout=out)
    return out.getvalue().strip()


def names() -> set[str]:
    return set(Job.objects.values_list("stem", flat=True))


def test_only_what_ended_long_ago_goes() -> None:
    for state in (State.COMPLETED, State.FAILED, State.CANCELLED):
        make_job(f"old-{state}", state, days_old=31)
        make_job(f"new-{state}", state, days_old=29)
    for state in (State.PENDING, State.PROCESSING, State.CREATED):
        make_job(f"still-{state}", state, days_old=400)

    assert prune() == "removed 3 jobs, 0 kept sources, 3 unused references"

    assert all(not name.startswith("old-") for name in names())
    assert len(names()) == 6
    assert Reference.objects.count() == 6


def test_a_dry_run_only_counts() -> None:
    make_job("old", State.COMPLETED, days_old=31)
    failed = make_job("failed", State.FAILED, days_old=8, kept_source=True)

    assert prune("--dry-run").startswith("would remove 1 jobs, 1 kept sources")

    assert names() == {"old", "failed"}
    assert staging.source_path(failed.uid).exists()


def test_the_dry_run_counts_what_the_run_removes() -> None:
    make_job("old", State.COMPLETED, days_old=31)
    make_job("failed", State.FAILED, days_old=8, kept_source=True)
    foretold = prune("--dry-run").removeprefix("would remove ")
    assert prune().removeprefix("removed ") == foretold


def test_sources_of_failed_jobs_go_after_a_week() -> None:
    old = make_job("old", State.FAILED, days_old=8, kept_source=True)
    new = make_job("new", State.FAILED, days_old=6, kept_source=True)

    assert prune() == "removed 0 jobs, 1 kept sources, 0 unused references"

    assert not staging.folder(old.uid).exists()
    assert staging.source_path(new.uid).exists()
    assert list(Job.objects.filter(has_source=True)) == [new]


def test_hosted_files_and_their_names_outlive_the_record(own_folders: Path) -> None:
    job = make_job("hosted", State.COMPLETED, days_old=31)
    Success.objects.create(
        job=job, reference=job.reference, subject="alice", job_data={}, file_count=1
    )
    path = own_folders / "serve" / "a.jpg"
    path.write_bytes(b"abc")
    HostedFile.objects.create(
        path="a.jpg",
        job=job,
        reference=job.reference,
        sha256="0" * 64,
        bytes=3,
        mtime_ns=path.stat().st_mtime_ns,
        media_type="image/jpeg",
    )

    assert prune() == "removed 1 jobs, 0 kept sources, 0 unused references"

    assert path.exists()
    assert HostedFile.objects.get().job is None
    assert HostedFile.objects.get().reference == job.reference
    assert not Success.objects.exists()


@pytest.mark.parametrize(
    ("state", "goes"),
    [
        (CallbackState.WAITING, False),
        (CallbackState.SENDING, False),
        (CallbackState.SENT, True),
        (CallbackState.GIVEN_UP, True),
    ],
)
def test_a_callback_under_way_keeps_its_record(state: CallbackState, goes: bool) -> None:
    job = make_job("telling", State.COMPLETED, days_old=31)
    owe(job, state=state)
    prune()
    assert Job.objects.exists() is not goes
