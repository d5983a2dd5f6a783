"""/v1/jobs: the list, one job explained, and replays of one and of many."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from jobs import pipeline, staging
from jobs.advice import ADVICE
from jobs.models import Failure, Job
from tests.api.caller import Api, assert_problem, upload_token
from tests.jobs.making import TRUNCATED, make_job, picture, put_in_state
from tests.site.test_docs import codes_of_pictures

Configure = Callable[..., None]


def fail(number: int, subject: str = "alice", code: str = "disk_full", **fields: Any) -> Job:
    job = make_job(subject, picture(number))
    fields = {"error_code": code, "error_message": f"{code}!", **fields}
    put_in_state(job, "failed", **fields)
    Failure.objects.create(
        job=job, reference=job.reference, subject=subject, job_data={}, code=code, message="m"
    )
    return job


def listed(api: Api, query: str, token: str) -> list[str]:
    answer = api.get(f"/v1/jobs?{query}", token=token)
    assert answer.status_code == 200, answer.content
    return [each["job_id"] for each in answer.json()["jobs"]]


def ids(*jobs: Job) -> list[str]:
    return [str(job.uid) for job in jobs]


# The list


def test_nothing_yet(api: Api, staff: str) -> None:
    for token in (staff, upload_token(None)):
        assert api.get("/v1/jobs", token=token).json() == {"jobs": [], "count": 0, "next": None}


def test_a_dead_letter_as_its_owner_sees_it(api: Api, configure: Configure) -> None:
    configure(failed_retention_days=3)
    reference = api.finished(TRUNCATED, name="cut.jpg")
    job = Job.objects.get()
    [shown] = api.get("/v1/jobs?state=failed", token=upload_token(None)).json()["jobs"]
    error = shown.pop("error")
    assert shown["created_at"] <= shown["finished_at"] <= shown["updated_at"]
    for name in ("created_at", "updated_at", "finished_at"):
        del shown[name]
    assert shown == {
        "job_id": str(job.uid),
        "hash": reference,
        "subject": "alice",
        "upload_name": "cut.jpg",
        "state": "failed",
        "stage": None,
        "priority": 0,
        "next_attempt_at": None,
        "progress": {"done": 0, "total": 1},
        "attempts": 1,
        "lost_workers": 0,
        "failures": 1,
    }
    assert job.finished_at is not None
    until = (job.finished_at + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert error["message"].startswith("The JPEG")
    assert (error["code"], error["replayable"]) == ("damaged_picture", True)
    assert (error["advice"], error["replayable_until"]) == (ADVICE["damaged_picture"], until)


def test_each_sees_its_own_and_staff_all(api: Api, staff: str, plain: str) -> None:
    mine, other = fail(1), fail(2, "bob")
    assert listed(api, "", staff) == ids(other, mine)
    assert listed(api, "", upload_token(None)) == ids(mine)
    assert listed(api, "subject=bob", upload_token(None)) == []
    assert_problem(api.get("/v1/jobs"), 401, "not_authenticated")
    assert_problem(api.get("/v1/jobs", token=plain), 403, "staff_only")


def test_filters(api: Api, staff: str) -> None:
    long_ago = timezone.now().replace(year=2020)
    old = fail(1, finished_at=long_ago)
    new = fail(2, "bob", "delivery_failed")
    waiting = make_job("cat", picture(3))
    assert listed(api, "state=failed", staff) == ids(new, old)
    assert listed(api, "state=pending", staff) == ids(waiting)
    assert listed(api, "code=disk_full", staff) == ids(old)
    assert listed(api, "subject=bob", staff) == ids(new)
    assert listed(api, "since=2021-01-01", staff) == ids(new)
    assert listed(api, "until=2021-01-01", staff) == ids(old)
    assert listed(api, f"hash={waiting.reference_id}", staff) == ids(waiting)


def test_pages_do_not_shift(api: Api, staff: str) -> None:
    made = [fail(number) for number in range(5)]
    path, seen = "/v1/jobs?limit=2&state=failed", []
    while path:
        page = api.get(path, token=staff).json()
        assert page["count"] == len(page["jobs"]) <= 2
        seen += [each["job_id"] for each in page["jobs"]]
        fail(100 + len(seen))
        following = page["next"] and urlsplit(page["next"])
        path = f"{following.path}?{following.query}" if following else ""
    assert seen == ids(*reversed(made))


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("state=dead", "invalid_parameter", "state"),
        ("limit=501", "invalid_parameter", "limit"),
        ("before=x", "invalid_parameter", "before"),
        ("since=soon", "invalid_parameter", "since"),
        ("code=a%00b", "invalid_parameter", "code"),
        ("hash=x", "invalid_hash", "hash"),
        ("owner=x", "unknown_parameter", "owner"),
    ],
)
def test_parameters_that_are_not_right(
    api: Api, staff: str, query: str, code: str, field: str
) -> None:
    assert_problem(api.get(f"/v1/jobs?{query}", token=staff), 400, code, field)


def test_a_page_costs_a_fixed_number_of_queries(
    api: Api, staff: str, django_assert_max_num_queries: Any
) -> None:
    for number in range(10):
        fail(number)
    with django_assert_max_num_queries(3):
        assert api.get("/v1/jobs", token=staff).json()["count"] == 10


# One


def test_one_job_has_its_failures_and_files(api: Api) -> None:
    job = fail(1)
    Failure.objects.create(
        job=job, reference=job.reference, subject="alice", job_data={}, code="later", message="n"
    )
    found = api.get(f"/v1/jobs/{job.uid}", token=upload_token(None)).json()
    records = [(each["code"], each["message"]) for each in found["failure_records"]]
    assert records == [("later", "n"), ("disk_full", "m")]
    assert (found["failures"], found["files"], found["deliveries"]) == (2, [], [])
    assert found["error"]["code"] == "disk_full"


def test_a_job_that_waits_for_its_next_try_says_when(api: Api) -> None:
    job = make_job()
    token = upload_token(None)
    assert api.get(f"/v1/jobs/{job.uid}", token=token).json()["next_attempt_at"] is None
    Job.objects.update(run_after=timezone.now().replace(year=2999))
    found = api.get(f"/v1/jobs/{job.uid}", token=token).json()
    assert found["next_attempt_at"].startswith("2999-")
    assert found["error"] is None


def test_what_is_not_yours_is_unknown(api: Api, staff: str) -> None:
    job = fail(1, "bob")
    for method, path in (("GET", ""), ("POST", "/replay")):
        call = f"/v1/jobs/{job.uid}{path}"
        assert_problem(api.call(method, call, token=upload_token(None)), 404, "unknown_job")
        assert_problem(api.call(method, call), 401, "not_authenticated")
        absent = f"/v1/jobs/{uuid.uuid4()}{path}"
        assert_problem(api.call(method, absent, token=staff), 404, "unknown_job")


# Replays


def test_the_owner_replays_one(api: Api) -> None:
    api.finished(TRUNCATED)
    job = Job.objects.get()
    answer = api.call("POST", f"/v1/jobs/{job.uid}/replay", token=upload_token(None))
    assert answer.status_code == 202
    told = {"job_id": str(job.uid), "hash": job.reference_id, "state": "pending"}
    assert answer.json() == told
    pipeline.wake()
    found = api.get(f"/v1/jobs/{job.uid}", token=upload_token(None)).json()
    assert (found["state"], found["failures"]) == ("failed", 2)


def test_what_cannot_be_replayed_says_why(api: Api, staff: str) -> None:
    job = fail(1)
    path = f"/v1/jobs/{job.uid}/replay"
    make_job("alice", picture(1))
    assert_problem(api.call("POST", path, token=staff), 409, "duplicate_in_flight")
    Job.objects.filter(state="pending").update(state="cancelled")
    staging.discard(job.uid)
    assert_problem(api.call("POST", path, token=staff), 410, "source_gone")
    found = api.get(f"/v1/jobs/{job.uid}", token=staff).json()["error"]
    assert (found["replayable"], found["replayable_until"]) == (False, None)
    assert "upload the picture again" in found["advice"]
    put_in_state(job, "completed")
    assert_problem(api.call("POST", path, token=staff), 409, "not_failed")


def test_many_are_replayed_the_oldest_first(api: Api, staff: str) -> None:
    jobs = [
        fail(number, finished_at=timezone.now() - timedelta(hours=number)) for number in range(4)
    ]
    gone = fail(10, has_source=False)
    other = fail(11, code="damaged_picture")
    first = api.call("POST", "/v1/jobs/replay?code=disk_full&limit=3", token=staff)
    assert first.status_code == 202
    assert first.json() == {"replayed": 3, "refused": [], "left": 1}
    assert listed(api, "state=failed", staff) == ids(other, gone, jobs[0])
    second = api.call("POST", "/v1/jobs/replay?code=disk_full", token=staff)
    assert second.json() == {"replayed": 1, "refused": [], "left": 0}


def test_one_that_refuses_does_not_stop_the_others(api: Api) -> None:
    refused, _ = fail(1), fail(2)
    make_job("alice", picture(1))
    answer = api.call("POST", "/v1/jobs/replay", token=upload_token(None)).json()
    [reason] = answer["refused"]
    assert (answer["replayed"], answer["left"]) == (1, 1)
    assert (reason["job_id"], reason["code"]) == (str(refused.uid), "duplicate_in_flight")


def test_a_subject_replays_its_own_only(api: Api) -> None:
    other = fail(1, "bob")
    for query in ("", "?subject=bob"):
        answer = api.call("POST", f"/v1/jobs/replay{query}", token=upload_token(None))
        assert answer.json() == {"replayed": 0, "refused": [], "left": 0}
    other.refresh_from_db()
    assert other.state == "failed"


def test_replays_of_many_take_only_what_chooses_failed_jobs(api: Api, staff: str) -> None:
    answer = api.call("POST", "/v1/jobs/replay?state=failed", token=staff)
    assert_problem(answer, 400, "unknown_parameter", "state")
    assert_problem(api.call("POST", "/v1/jobs/replay"), 401, "not_authenticated")


# Advice


def test_every_code_of_a_picture_has_an_advice() -> None:
    assert codes_of_pictures() <= set(ADVICE)
    assert all(text.endswith(".") for text in ADVICE.values())
