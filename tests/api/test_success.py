"""GET /success: the record of a completed job, or that there is none."""

import hashlib
import json
import re
from collections.abc import Callable

import pytest

from tests.api.caller import Api, upload_token
from tests.jobs.making import DOT, HOPPER, SMALL_JOB, TRUNCATED, make_job, put_in_state

SHA256 = hashlib.sha256(DOT).hexdigest()
NOT_FOUND = {"status": "not_found", "message": "No success record found for this hash"}
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def test_for_its_owner(api: Api) -> None:
    job = {"formats": {"jpg": {"sizes": [[40, 30], [9]]}}, "keepOriginal": True, "directHost": True}
    reference = api.finished(HOPPER, token=upload_token(job))
    found = api.get(f"/success?hash={reference}", token=upload_token(None)).json()
    assert set(found) == {"hash", "status", "timestamp", "file_count", "job_data"}
    assert (found["hash"], found["status"]) == (reference, "success")
    assert found["file_count"] == 3
    assert re.fullmatch(STAMP, found["timestamp"])
    assert json.loads(found["job_data"]) == job


def test_anyone_gets_the_same_keys_without_the_instructions(api: Api) -> None:
    reference = api.finished()
    found = api.get(f"/success?hash={reference}").json()
    assert set(found) == {"hash", "status", "timestamp", "file_count", "job_data"}
    assert (found["file_count"], found["job_data"]) == (1, "{}")


def test_anyone_gets_the_instructions_where_the_owner_says_so(
    api: Api, configure: Callable[..., None]
) -> None:
    configure(anonymous_status="full")
    found = api.get(f"/success?hash={api.finished()}").json()
    assert json.loads(found["job_data"]) == SMALL_JOB


def test_unknown_is_an_answer_and_no_error(api: Api) -> None:
    answer = api.get(f"/success?hash={'0' * 64}")
    assert answer.status_code == 200
    assert answer.json() == {"hash": "0" * 64, **NOT_FOUND}


@pytest.mark.parametrize("state", ["created", "pending", "processing", "failed", "cancelled"])
def test_not_completed(api: Api, state: str) -> None:
    put_in_state(make_job(), state)
    answer = api.get(f"/success?hash={SHA256}")
    assert answer.status_code == 200
    assert answer.json() == {"hash": SHA256, **NOT_FOUND}


def test_a_failed_job_has_none(api: Api) -> None:
    reference = api.finished(TRUNCATED)
    assert api.get(f"/success?hash={reference}").json()["status"] == "not_found"


def test_somebody_elses_is_not_found(api: Api) -> None:
    reference = api.finished()
    eve = upload_token(None, subject="eve")
    assert api.get(f"/success?hash={reference}", token=eve).json() == {
        "hash": reference,
        **NOT_FOUND,
    }


def test_the_newest_job_counts(api: Api) -> None:
    reference = api.finished()
    api.accepted()
    assert api.get(f"/success?hash={reference}").json()["status"] == "not_found"
