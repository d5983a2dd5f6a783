"""The ends of a job: everything of it in one transaction."""

import time
from dataclasses import replace

import pytest
from django.db import DatabaseError, connection, transaction

from encoders.plan import Rendition as Made
from jobs import lifecycle, outcomes, staging
from jobs.leases import LeaseLost
from jobs.models import Callback, CallbackState, Event, Failure, HostedFile, Job, Rendition, Success
from jobs.outcomes import Product, Published
from tests.api.caller import staged_folders
from tests.jobs.making import SMALL_JOB, claim, make_job

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]

HOOK = {
    **SMALL_JOB,
    "completionCallback": "http://127.0.0.1:9/hook",
    "callbackHeaders": {"X-Key": "hush"},
}


def made(job: Job, name: str = "one.jpg") -> Made:
    return Made(name, "jpg", 40, 30, 1234, "a" * 64, 5.0)


def product(job: Job, *names: str) -> Product:
    published = [Published(name, "a" * 64, 1234, 1, "image/jpeg") for name in names]
    return Product([made(job, name) for name in names], published)


def test_success() -> None:
    make_job(job=HOOK)
    job = claim()
    outcomes.complete(job, product(job, "one.jpg", "two.jpg"))
    record = Success.objects.get()
    assert (record.file_count, record.output_bytes, record.subject) == (2, 2468, "alice")
    assert record.job_data == {key: HOOK[key] for key in HOOK if key != "callbackHeaders"}
    assert Rendition.objects.count() == HostedFile.objects.count() == 2
    assert staged_folders() == []


@pytest.mark.parametrize("warnings", [[], [{"code": "alpha_flattened", "message": "on white"}]])
def test_the_callback_of_a_success_is_the_original_payload_and_warnings(
    warnings: list[dict[str, str]],
) -> None:
    make_job(job=HOOK)
    job = claim()
    outcomes.complete(job, replace(product(job, "one.jpg"), warnings=warnings))
    callback = Callback.objects.get()
    event = callback.event
    assert abs(event.payload.pop("timestamp") - time.time()) < 60
    assert event.payload == {
        "hash": job.reference_id,
        "status": "completed",
        "file_count": 1,
        "job_data": job.spec,
        "warnings": warnings,
    }
    assert (event.type, callback.url) == ("job.completed", HOOK["completionCallback"])
    assert (callback.state, callback.attempts_made) == (CallbackState.WAITING, 0)
    assert "hush" not in callback.sealed_headers


def test_the_callback_of_a_failure() -> None:
    make_job(job=HOOK)
    job = claim()
    assert outcomes.fail(job, "damaged_picture", "it is broken")
    payload = Callback.objects.get().event.payload
    assert isinstance(payload.pop("timestamp"), int)
    assert payload == {
        "hash": job.reference_id,
        "status": "failed",
        "file_count": 0,
        "job_data": job.spec,
        "error": {"code": "damaged_picture", "message": "it is broken"},
    }


def test_no_callback_where_none_was_asked_for() -> None:
    make_job()
    job = claim()
    outcomes.complete(job, product(job, "one.jpg"))
    assert not Callback.objects.exists()


def test_failure() -> None:
    make_job()
    job = claim()
    assert outcomes.fail(job, "code", "m" * 5000)
    record = Failure.objects.get()
    stored = Job.objects.get()
    assert (record.code, len(record.message)) == ("code", outcomes.MAX_MESSAGE)
    assert (stored.error_code, stored.error_message) == ("code", record.message)
    assert (stored.state, stored.has_source) == ("failed", True)
    assert len(staged_folders()) == 1


def test_as_many_files_as_the_settings_can_allow() -> None:
    """All rows of one kind go in one statement, and databases take only so many values in one."""
    make_job()
    job = claim()
    files = [f"{number}.jpg" for number in range(1000)]
    outcomes.complete(job, product(job, *files))
    counts = [model.objects.count() for model in (Rendition, HostedFile)]
    assert counts == [1000, 1000]


def test_ends_happen_once() -> None:
    make_job(job=HOOK)
    job = claim()
    outcomes.complete(job, product(job, "one.jpg"))
    with pytest.raises(LeaseLost):
        outcomes.complete(job, product(job, "two.jpg"))
    assert outcomes.fail(job, "code", "message") is False
    counts = [model.objects.count() for model in (Success, Failure, Callback, Rendition)]
    assert counts == [1, 0, 1, 1]


def test_the_clean_up_after_a_failure_spares_what_the_next_holder_makes() -> None:
    """A commit and the clean-up after it are two moments; a replay and its claim fit between."""
    job = make_job()
    old = claim("old")
    staging.out_dir(job.uid, old.fence).mkdir()
    claimed = []

    def go_on() -> None:
        lifecycle.replay(old)
        claimed.append(claim("new"))
        staging.out_dir(job.uid, claimed[0].fence).mkdir()

    with transaction.atomic():
        transaction.on_commit(go_on)
        assert outcomes.fail(old, "code", "message")
    left = {each.name for each in staging.folder(job.uid).iterdir()}
    assert left == {"source", f"out.{claimed[0].fence}"}


@pytest.mark.parametrize(
    "table", ["jobs_rendition", "jobs_hostedfile", "jobs_success", "jobs_event", "jobs_callback"]
)
def test_all_or_nothing(table: str) -> None:
    make_job(job=HOOK)
    job = claim()

    def break_at(execute: object, sql: str, *args: object) -> object:
        if sql.startswith("INSERT") and f'"{table}"' in sql:
            raise DatabaseError("the disk is on fire")
        return execute(sql, *args)  # type: ignore[operator]

    with connection.execute_wrapper(break_at), pytest.raises(DatabaseError):
        outcomes.complete(job, product(job, "one.jpg"))
    assert Job.objects.get().state == "processing"
    for model in (Success, Event, Callback, Rendition, HostedFile):
        assert not model.objects.exists()
    assert len(staged_folders()) == 1
    outcomes.complete(job, product(job, "one.jpg"))
    assert Job.objects.get().state == "completed"


def test_a_newer_job_replaces_the_older_ones_outputs() -> None:
    old = make_job()
    outcomes.complete(claim(), product(old, "one.jpg", "two.jpg"))
    new = make_job()
    outcomes.complete(claim(), product(new, "one.jpg"))
    superseded = dict(old.renditions.values_list("name", "superseded"))
    assert superseded == {"one.jpg": True, "two.jpg": False}
    assert not new.renditions.get().superseded
    owners = dict(HostedFile.objects.values_list("path", "job"))
    assert owners == {"one.jpg": new.pk, "two.jpg": old.pk}
