"""GET /success/list and /failures/list: for staff, paged and filtered."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from jobs.models import Failure, Success
from tests.api.caller import Api, assert_problem, upload_token
from tests.jobs.making import SMALL_JOB, TRUNCATED, make_job, picture, put_in_state

BOTH = pytest.mark.parametrize("path", ["/success/list", "/failures/list"])


def add_success(number: int, subject: str = "alice", **fields: Any) -> Success:
    job = put_in_state(make_job(subject, picture(number)), "completed")
    return Success.objects.create(
        job=job, reference=job.reference, subject=subject, job_data=job.spec, file_count=1, **fields
    )


def add_failure(number: int, code: str = "damaged_picture", **fields: Any) -> Failure:
    job = put_in_state(make_job("alice", picture(number)), "failed")
    return Failure.objects.create(
        job=job, reference=job.reference, subject="alice", job_data={}, code=code, **fields
    )


@BOTH
def test_empty(api: Api, staff: str, path: str) -> None:
    name = "success_records" if path == "/success/list" else "failures"
    answer = api.get(path, token=staff)
    assert answer.status_code == 200
    assert answer.json() == {name: [], "count": 0, "next": None}


def test_a_success_as_staff_see_it(api: Api, staff: str) -> None:
    reference = api.finished()
    (record,) = api.get("/success/list", token=staff).json()["success_records"]
    assert set(record) == {"hash", "status", "timestamp", "file_count", "job_data", "job_id"}
    assert (record["hash"], record["status"], record["file_count"]) == (reference, "success", 1)
    assert json.loads(record["job_data"]) == SMALL_JOB


def test_a_failure_as_staff_see_it(api: Api, staff: str) -> None:
    reference = api.finished(TRUNCATED)
    (record,) = api.get("/failures/list", token=staff).json()["failures"]
    assert set(record) == {"hash", "status", "timestamp", "error", "job_data", "job_id"}
    assert (record["hash"], record["status"]) == (reference, "failed")
    assert record["error"].startswith("damaged_picture: ")


def test_pages_are_whole_and_do_not_shift(api: Api, staff: str) -> None:
    rows = [add_success(number) for number in range(5)]
    seen: list[str] = []
    path = "/success/list?limit=2"
    while path:
        page = api.get(path, token=staff).json()
        assert page["count"] == len(page["success_records"]) <= 2
        seen += [record["hash"] for record in page["success_records"]]
        add_success(100 + len(seen))  # a new record in the middle of the reading
        following = page["next"] and urlsplit(page["next"])
        path = f"{following.path}?{following.query}" if following else ""
    assert seen == [row.reference_id for row in reversed(rows)]


def test_next_keeps_the_filters(api: Api, staff: str) -> None:
    for number in range(3):
        add_success(number, "bo b&x")
        add_success(100 + number, "ann")
    first = api.get("/success/list?limit=2&subject=bo%20b%26x", token=staff).json()
    following = urlsplit(first["next"])
    second = api.get(f"{following.path}?{following.query}", token=staff).json()
    assert (second["count"], second["next"]) == (1, None)


def test_filters(api: Api, staff: str) -> None:
    old = add_success(1, "ann", timestamp=datetime(2020, 1, 1, 12, tzinfo=UTC))
    new = add_success(2, "bob")

    def found(query: str) -> list[str]:
        page = api.get(f"/success/list?{query}", token=staff).json()
        return [record["hash"] for record in page["success_records"]]

    assert found("subject=ann") == [old.reference_id]
    assert found("subject=nobody") == []
    assert found(f"hash={new.reference_id}") == [new.reference_id]
    assert found("until=2020-01-01T12:00:01Z") == [old.reference_id]
    assert found("until=2020-01-01T12:00:00Z") == []
    assert found("until=2020-01-02") == [old.reference_id]
    assert found("until=2020-01-01") == []
    assert found("since=2020-01-01T12:00:00Z") == [new.reference_id, old.reference_id]
    assert found("since=2020-01-01T14:00:01%2B02:00") == [new.reference_id]
    assert found("since=2020-01-01T14:00:01+02:00") == [new.reference_id]
    assert found("since=2020-01-01T12:00:01") == [new.reference_id]


def test_a_bare_checksum_finds_every_subjects(api: Api, staff: str) -> None:
    ann, bob = add_success(1, "ann"), add_success(1, "bob")
    assert bob.reference_id == f"{ann.reference_id}_1"
    both = api.get(f"/success/list?hash={ann.reference_id}", token=staff).json()
    assert both["count"] == 2
    one = api.get(f"/success/list?hash={bob.reference_id}", token=staff).json()
    assert [record["hash"] for record in one["success_records"]] == [bob.reference_id]


def test_failures_by_code(api: Api, staff: str) -> None:
    add_failure(1)
    other = add_failure(2, "too_many_pixels")
    page = api.get("/failures/list?code=too_many_pixels", token=staff).json()
    assert [record["hash"] for record in page["failures"]] == [other.reference_id]
    assert_problem(api.get("/success/list?code=x", token=staff), 400, "unknown_parameter", "code")


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("limit=0", "invalid_parameter", "limit"),
        ("limit=501", "invalid_parameter", "limit"),
        ("limit=-1", "invalid_parameter", "limit"),
        ("limit=1.5", "invalid_parameter", "limit"),
        ("limit=", "invalid_parameter", "limit"),
        ("limit=%D9%A1", "invalid_parameter", "limit"),
        ("before=x", "invalid_parameter", "before"),
        ("before=99999999999999999999999", "invalid_parameter", "before"),
        ("since=yesterday", "invalid_parameter", "since"),
        ("since=2020-13-01T00:00:00Z", "invalid_parameter", "since"),
        ("until=", "invalid_parameter", "until"),
        ("since=0001-01-01T00:00:00%2B14:00", "invalid_parameter", "since"),
        ("until=9999-12-31T23:59:59-14:00", "invalid_parameter", "until"),
        ("subject=a%00b", "invalid_parameter", "subject"),
        (f"subject={'x' * 256}", "invalid_parameter", "subject"),
        ("hash=x", "invalid_hash", "hash"),
        ("hash=", "invalid_hash", "hash"),
        ("offset=5", "unknown_parameter", "offset"),
        ("job__subject=ann", "unknown_parameter", "job__subject"),
    ],
)
def test_parameters_that_are_not_right(
    api: Api, staff: str, query: str, code: str, field: str
) -> None:
    for path in ("/success/list", "/failures/list"):
        assert_problem(api.get(f"{path}?{query}", token=staff), 400, code, field)


@BOTH
def test_only_for_staff(api: Api, plain: str, path: str) -> None:
    assert_problem(api.get(path), 401, "not_authenticated")
    assert_problem(api.get(path, token=plain), 403, "staff_only")
    assert_problem(api.get(path, token=upload_token()), 403, "staff_only")
    assert_problem(api.get(path, token="rubbish"), 401, "invalid_token")


@BOTH
def test_the_admins_session_opens_it_too(staff_user: User, path: str) -> None:
    client = Client()
    client.force_login(staff_user)
    assert client.get(path).status_code == 200


@BOTH
def test_a_page_costs_a_fixed_number_of_queries(
    api: Api, staff: str, path: str, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        add_success(number)
        add_failure(100 + number)
    with django_assert_max_num_queries(3):
        page = api.get(path, token=staff).json()
    assert page["count"] == 20


def test_the_default_page_is_fifty(api: Api, staff: str) -> None:
    job = put_in_state(make_job(), "completed")
    Success.objects.bulk_create(
        Success(
            job=job,
            reference=job.reference,
            subject="alice",
            job_data={},
            file_count=1,
            timestamp=timezone.now() - timedelta(seconds=number),
        )
        for number in range(51)
    )
    page = api.get("/success/list", token=staff).json()
    assert page["count"] == 50
    assert page["next"].startswith("http://127.0.0.1:8080/success/list?before=")
