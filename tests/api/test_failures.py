"""GET /failures: the record of a failed job, or what became of it instead."""

import hashlib
import json
import re
from collections.abc import Callable

import pytest

from tests.api.caller import Api, upload_token
from tests.jobs.making import DOT, SMALL_JOB, TRUNCATED, make_job, put_in_state

SHA256 = hashlib.sha256(DOT).hexdigest()
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def test_failed_for_its_owner(api: Api) -> None:
    reference = api.finished(TRUNCATED)
    found = api.get(f"/failures?hash={reference}", token=upload_token(None)).json()
    assert set(found) == {"hash", "status", "timestamp", "error", "job_data"}
    assert (found["hash"], found["status"]) == (reference, "failed")
    assert re.fullmatch(STAMP, found["timestamp"])
    assert found["error"].startswith("damaged_picture: ")
    assert json.loads(found["job_data"]) == SMALL_JOB


def test_failed_for_anyone(api: Api) -> None:
    found = api.get(f"/failures?hash={api.finished(TRUNCATED)}").json()
    assert set(found) == {"hash", "status", "timestamp", "error", "job_data"}
    assert (found["error"], found["job_data"]) == ("damaged_picture", "{}")


def test_failed_for_anyone_where_the_owner_says_so(
    api: Api, configure: Callable[..., None]
) -> None:
    configure(anonymous_status="full")
    found = api.get(f"/failures?hash={api.finished(TRUNCATED)}").json()
    assert json.loads(found["job_data"]) == SMALL_JOB


def test_completed_is_exactly_the_original_answer(api: Api) -> None:
    reference = api.finished()
    for token in (None, upload_token(None)):
        answer = api.get(f"/failures?hash={reference}", token=token)
        assert answer.status_code == 200
        assert answer.json() == {
            "hash": reference,
            "status": "success",
            "message": "File processed successfully",
        }


@pytest.mark.parametrize("state", ["created", "pending", "processing", "cancelled"])
def test_neither_failed_nor_completed(api: Api, state: str) -> None:
    put_in_state(make_job(), state)
    answer = api.get(f"/failures?hash={SHA256}")
    assert answer.status_code == 200
    assert set(answer.json()) == {"hash", "status", "message"}
    assert answer.json()["status"] == state
    assert answer.json()["message"]


def test_unknown_is_an_answer_and_no_error(api: Api) -> None:
    answer = api.get(f"/failures?hash={'0' * 64}")
    assert answer.status_code == 200
    assert answer.json() == {
        "hash": "0" * 64,
        "status": "not_found",
        "message": "No record found for this hash",
    }


def test_somebody_elses_is_not_found(api: Api) -> None:
    reference = api.finished(TRUNCATED)
    eve = upload_token(None, subject="eve")
    assert api.get(f"/failures?hash={reference}", token=eve).json()["status"] == "not_found"


def test_a_failure_that_was_made_good_is_a_success(api: Api) -> None:
    put_in_state(make_job(), "failed")
    assert api.get(f"/failures?hash={api.finished()}").json()["status"] == "success"
