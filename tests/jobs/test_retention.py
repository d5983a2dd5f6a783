"""Retention: to the day, without a race, and never an output."""

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from django_q.models import Schedule

from jobs import lifecycle, pipeline, retention, staging
from jobs.clerk import Clerk
from jobs.errors import Gone
from jobs.models import (
    CallbackState,
    Delivery,
    Failure,
    HostedFile,
    Job,
    Reference,
    Rendition,
    Success,
)
from jobs.retention import Pruned, prune_jobs
from tests.api.caller import Api, staged_folders, upload_token
from tests.jobs.making import HOPPER, TRUNCATED, make_job, owe, picture, put_in_state

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]
Configure = Callable[..., None]


def ended(state: str, days_ago: float, number: int = 0, **fields: Any) -> Job:
    job = make_job(f"s{number}", picture(number))
    moment = timezone.now() - timedelta(days=days_ago)
    put_in_state(job, state, **{"has_source": state == "failed", **fields})
    if state != "failed":
        staging.discard(job.uid)
    Job.objects.filter(pk=job.pk).update(finished_at=moment)
    job.refresh_from_db()
    return job


def left() -> set[int]:
    return set(Job.objects.values_list("pk", flat=True))


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_records_go_after_their_days(configure: Configure, state: str) -> None:
    configure(retention_days=10, failed_retention_days=10)
    young = ended(state, 9.99, 1)
    ended(state, 10.01, 2)
    assert prune_jobs().jobs == 1
    assert left() == {young.pk}


@pytest.mark.parametrize("state", ["created", "pending", "processing"])
def test_what_has_not_ended_stays_however_old(state: str) -> None:
    job = put_in_state(make_job(), state)
    Job.objects.update(created_at=timezone.now() - timedelta(days=1000), finished_at=None)
    assert prune_jobs() == Pruned()
    assert left() == {job.pk}
    assert staging.source_path(job.uid).exists()


def test_final_records_go_with_their_job(configure: Configure) -> None:
    for state, model in (("completed", Success), ("failed", Failure)):
        job = ended(state, 40, 1 if state == "failed" else 2)
        fields = {"file_count": 1} if model is Success else {"code": "x", "message": "y"}
        model.objects.create(
            job=job, reference=job.reference, subject=job.subject, job_data={}, **fields
        )
    prune_jobs()
    assert not Success.objects.exists()
    assert not Failure.objects.exists()


@pytest.mark.parametrize("state", [CallbackState.WAITING, CallbackState.SENDING])
def test_a_callback_under_way_keeps_its_job(state: str) -> None:
    job = ended("completed", 100)
    callback = owe(job, state=state)
    assert prune_jobs().jobs == 0
    callback.state = CallbackState.GIVEN_UP
    callback.save()
    assert prune_jobs().jobs == 1


def test_sources_of_failed_jobs_go_earlier(configure: Configure) -> None:
    configure(failed_retention_days=7)
    young, old = ended("failed", 6.99, 1), ended("failed", 7.01, 2)
    assert prune_jobs() == Pruned(sources=1)
    assert staging.source_path(young.uid).exists()
    assert not staging.folder(old.uid).exists()
    assert list(Job.objects.order_by("id").values_list("has_source", flat=True)) == [True, False]


def test_nothing_is_kept_for_replay_where_the_owner_says_so(configure: Configure) -> None:
    configure(failed_retention_days=0)
    job = ended("failed", 0.001)
    assert prune_jobs().sources == 1
    assert not staging.folder(job.uid).exists()


def test_beyond_the_budget_those_that_failed_first_go(configure: Configure) -> None:
    jobs = [ended("failed", 5 - number, number) for number in range(4)]
    size = jobs[0].source_bytes
    configure(failed_keep_bytes=2 * size)
    assert prune_jobs(dry_run=True) == Pruned(sources=2)
    Clerk().tick()
    assert [staging.source_path(job.uid).exists() for job in jobs] == [False, False, True, True]
    with pytest.raises(Gone) as caught:
        lifecycle.replay(jobs[0])
    assert caught.value.code == "source_gone"
    lifecycle.replay(jobs[2])
    assert prune_jobs() == Pruned()


def test_who_keeps_most_goes_first(configure: Configure) -> None:
    """However old the others' are: nobody's failures cost another's uploads."""
    other = ended("failed", 6, 0)
    crowd = [ended("failed", 5 - number, number + 1) for number in range(4)]
    Job.objects.filter(pk__in=[job.pk for job in crowd]).update(subject="crowd")
    configure(failed_keep_bytes=2 * other.source_bytes)
    assert prune_jobs() == Pruned(sources=3)
    kept = [staging.source_path(job.uid).exists() for job in (other, *crowd)]
    assert kept == [True, False, False, False, True]


def test_files_that_wait_for_their_delivery_count_for_the_budget(configure: Configure) -> None:
    jobs = [ended("failed", 5 - number, number, made_by=1) for number in range(2)]
    for job in jobs:
        fields = {"format": "jpg", "width": 1, "height": 1, "bytes": 1000, "sha256": "0"}
        Rendition.objects.create(job=job, name="a", key=f"a{job.pk}", **fields)
    configure(failed_keep_bytes=1500)
    assert prune_jobs() == Pruned(sources=1)
    assert [Job.objects.get(pk=job.pk).has_source for job in jobs] == [False, True]
    configure(failed_keep_bytes=0)
    assert prune_jobs() == Pruned(sources=1)


def test_a_replay_before_the_budget_is_kept_wins(configure: Configure) -> None:
    configure(failed_keep_bytes=0)
    job = ended("failed", 1)
    seen = retention.over_budget()
    lifecycle.replay(job)
    assert [retention._forget_source(each) for each in seen] == [False]
    assert staging.source_path(job.uid).exists()
    # Nor does it matter to a job that has failed once more meanwhile.
    put_in_state(job, "failed")
    assert [retention._forget_source(each) for each in seen] == [False]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="a plan of SQLite")
def test_the_clerk_asks_for_the_budget_by_an_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {retention._KEPT_BYTES}")
        assert "job_kept" in str(cursor.fetchall())


def test_references_go_only_when_unused() -> None:
    ended("completed", 100, 1)
    kept = ended("completed", 1, 2)
    hosted = ended("completed", 100, 3)
    HostedFile.objects.create(
        path="x", reference=hosted.reference, sha256="0", bytes=1, mtime_ns=1, media_type="a/b"
    )
    assert prune_jobs() == Pruned(jobs=2, references=1)
    names = set(Reference.objects.values_list("name", flat=True))
    assert names == {kept.reference_id, hosted.reference_id}


def test_the_name_of_what_was_delivered_is_nobody_elses_for_ever() -> None:
    """Its objects lie in a storage, and whoever got the name would overwrite them."""
    job = ended("completed", 100, 1)
    ended("completed", 100, 2)
    made = {"format": "jpg", "width": 1, "height": 1, "bytes": 1, "sha256": "0", "encode_ms": 1.0}
    rendition = Rendition.objects.create(job=job, name="a.jpg", key="a.jpg", **made)
    Delivery.objects.create(rendition=rendition, credential_type="s3", credential_key="x")
    said = prune_jobs(dry_run=True)
    assert prune_jobs() == said == Pruned(jobs=2, references=1)
    assert prune_jobs() == Pruned()
    assert make_job("stranger", picture(1)).reference_id == f"{job.sha256}_1"
    assert make_job("s1", picture(1)).reference_id == job.sha256


def test_a_dry_run_says_the_same_and_does_nothing(configure: Configure) -> None:
    configure(retention_days=30, failed_retention_days=7)
    for number, (state, days) in enumerate(
        [("completed", 31), ("failed", 31), ("failed", 8), ("completed", 1), ("cancelled", 31)]
    ):
        ended(state, days, number)
    before = left(), len(staged_folders()), Reference.objects.count()
    said = prune_jobs(dry_run=True)
    assert (left(), len(staged_folders()), Reference.objects.count()) == before
    assert prune_jobs() == said == Pruned(jobs=3, sources=2, references=3)
    assert prune_jobs() == Pruned()


def test_many_at_once(configure: Configure) -> None:
    job = ended("completed", 100)
    Job.objects.bulk_create(
        Job(
            subject="bulk",
            sha256="0" * 64,
            reference=job.reference,
            state="completed",
            spec={},
            upload_name="x",
            stem="x",
            source_format="png",
            source_bytes=1,
            total=1,
            finished_at=job.finished_at,
        )
        for _ in range(2 * retention.BATCH)
    )
    assert prune_jobs() == Pruned(jobs=2 * retention.BATCH + 1, references=1)


def test_hosted_files_survive_their_record(api: Api) -> None:
    answer = api.upload(HOPPER, token=upload_token())
    pipeline.wake()
    (name,) = answer.json()["expected_files"]
    before = api.get(f"/files/{name}")
    Job.objects.update(finished_at=timezone.now() - timedelta(days=100))
    assert prune_jobs().jobs == 1
    after = api.get(f"/files/{name}")
    assert (after.status_code, after.body, after["ETag"]) == (200, before.body, before["ETag"])
    row = HostedFile.objects.get()
    assert (row.job, row.reference_id) == (None, answer.json()["hash"])


def test_after_the_record_went_the_same_subject_replaces_its_file(api: Api) -> None:
    first = api.upload(HOPPER).json()
    pipeline.wake()
    Job.objects.update(finished_at=timezone.now() - timedelta(days=100))
    prune_jobs()
    stranger = api.upload(HOPPER, token=upload_token(subject="bob")).json()
    assert stranger["hash"] == f"{first['hash']}_1"
    assert api.upload(HOPPER).json()["expected_files"] == first["expected_files"]


def in_the_middle(table: str, act: Callable[[], object]) -> Any:
    """Acts once, just after the first rows were read from `table`."""
    acted: list[bool] = []

    def wrapper(execute: Callable[..., Any], sql: str, *args: object) -> Any:
        result = execute(sql, *args)
        if not acted and sql.startswith("SELECT") and f'FROM "{table}"' in sql:
            acted.append(True)
            act()
        return result

    return connection.execute_wrapper(wrapper)


@pytest.mark.parametrize(("retention_days", "kept_days"), [(30, 7), (7, 30)])
def test_a_replay_in_the_middle_of_pruning_keeps_its_source(
    configure: Configure, retention_days: int, kept_days: int
) -> None:
    configure(retention_days=retention_days, failed_retention_days=kept_days)
    job = make_job("ann", TRUNCATED)
    pipeline.wake()
    Job.objects.update(finished_at=timezone.now() - timedelta(days=10))
    job.refresh_from_db()
    replayed = Job.objects.get(pk=job.pk)
    stage = prune_jobs if kept_days < retention_days else retention._forget_jobs
    with in_the_middle("jobs_job", lambda: lifecycle.replay(replayed)):
        stage()
    job.refresh_from_db()
    assert job.state == "pending"
    assert staging.source_path(job.uid).exists()


# Commands


def told(*arguments: str, **options: Any) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue().strip()


def test_prune_jobs_says_what_it_did() -> None:
    ended("failed", 100)
    assert told("prune_jobs", "--dry-run") == (
        "would remove 1 jobs, 1 kept sources, 1 unused references"
    )
    assert told("prune_jobs") == "removed 1 jobs, 1 kept sources, 1 unused references"


def test_prune_staging_says_what_it_did() -> None:
    put_in_state(make_job(), "completed")
    assert told("prune_staging", "--dry-run").startswith("would remove 1 ")
    assert told("prune_staging", "--min-age", "0").startswith("removed 1 ")


def test_the_daily_schedule_does_both() -> None:
    ended("completed", 100, 1)
    put_in_state(make_job(), "cancelled")
    retention.daily()
    assert Job.objects.count() == 1
    assert staged_folders() == []


def test_what_a_day_leaves_is_done_at_once_and_not_tomorrow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "BATCH", 1)
    tomorrow = timezone.now() + timedelta(days=1)
    plan = Schedule.objects.create(func=retention.DAILY, next_run=tomorrow)
    for number in range(2):
        ended("completed", 100, number)
    monkeypatch.setattr(retention, "CLEAN_S", 0)
    for jobs in (1, 0):
        retention.daily()
        plan.refresh_from_db()
        assert (Job.objects.count(), plan.next_run <= timezone.now()) == (jobs, True)
    monkeypatch.setattr(retention, "CLEAN_S", 60)
    Schedule.objects.update(next_run=tomorrow)
    retention.daily()
    plan.refresh_from_db()
    assert plan.next_run == tomorrow
    assert not Reference.objects.exists()
