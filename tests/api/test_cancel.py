"""DELETE /cancel: only pending jobs, only one's own."""

import hashlib

import pytest
from django.contrib.auth.models import User
from django.test import Client

from jobs import pipeline
from jobs.models import Job
from tests.api.caller import Api, assert_problem, staged_folders, upload_token
from tests.jobs.making import DOT, make_job, put_in_state

pytestmark = pytest.mark.sql

SHA256 = hashlib.sha256(DOT).hexdigest()


def cancel(api: Api, reference: str = SHA256, token: str | None = None) -> object:
    return api.call("DELETE", f"/cancel?hash={reference}", token=token)


def state_of(job: Job) -> str:
    job.refresh_from_db()
    return job.state


def test_a_pending_job(api: Api) -> None:
    answer = cancel(api, api.accepted(), upload_token(None))
    assert answer.status_code == 200  # type: ignore[attr-defined]
    assert answer.json() == {  # type: ignore[attr-defined]
        "hash": SHA256,
        "state": "cancelled",
        "message": "Job cancelled successfully",
    }
    assert not staged_folders()
    pipeline.wake()
    job = Job.objects.get()
    assert (job.state, job.has_source) == ("cancelled", False)
    assert not job.renditions.exists()


def test_a_job_that_waits_to_be_started(api: Api) -> None:
    job = put_in_state(make_job(), "created")
    assert cancel(api, token=upload_token(None)).status_code == 200  # type: ignore[attr-defined]
    assert state_of(job) == "cancelled"


def test_staff_may_cancel_anything(api: Api, staff: str) -> None:
    job = make_job("ann")
    assert cancel(api, token=staff).status_code == 200  # type: ignore[attr-defined]
    assert state_of(job) == "cancelled"


def test_after_a_cancellation_the_picture_may_come_again(api: Api) -> None:
    cancel(api, api.accepted(), upload_token(None))
    assert api.finished() == SHA256
    assert [job.state for job in Job.objects.order_by("id")] == ["cancelled", "completed"]


@pytest.mark.parametrize("state", ["processing", "completed", "failed", "cancelled"])
def test_what_is_not_pending(api: Api, state: str) -> None:
    job = put_in_state(make_job(), state)
    body = assert_problem(cancel(api, token=upload_token(None)), 409, "not_pending")
    assert state in body["detail"]
    assert state_of(job) == state
    assert staged_folders()


def test_of_two_cancellations_the_second_is_refused(api: Api) -> None:
    make_job()
    cancel(api, token=upload_token(None))
    assert_problem(cancel(api, token=upload_token(None)), 409, "not_pending")


def test_without_a_token(api: Api) -> None:
    job = make_job()
    assert_problem(cancel(api), 401, "not_authenticated")
    assert state_of(job) == "pending"


def test_with_a_bad_token(api: Api) -> None:
    job = make_job()
    assert_problem(cancel(api, token="a.b.c"), 401, "invalid_token")
    assert state_of(job) == "pending"


def test_somebody_elses(api: Api, plain: str) -> None:
    job = make_job("ann")
    eve = upload_token(None, subject="eve")
    assert_problem(cancel(api, token=eve), 404, "unknown_hash", "hash")
    assert_problem(cancel(api, token=plain), 404, "unknown_hash", "hash")
    assert state_of(job) == "pending"


def test_one_tenant_never_cancels_anothers_by_the_checksum(api: Api) -> None:
    ann, bob = make_job("ann"), make_job("bob")
    answer = cancel(api, token=upload_token(None, subject="bob"))
    assert answer.json()["hash"] == f"{SHA256}_1"  # type: ignore[attr-defined]
    assert (state_of(ann), state_of(bob)) == ("pending", "cancelled")


def test_unknown_and_malformed(api: Api) -> None:
    assert_problem(cancel(api, "0" * 64, upload_token(None)), 404, "unknown_hash", "hash")
    assert_problem(cancel(api, "nothing", upload_token(None)), 400, "invalid_hash", "hash")


def test_a_get_cancels_nothing(api: Api) -> None:
    job = make_job()
    answer = api.get(f"/cancel?hash={SHA256}", token=upload_token(None))
    assert_problem(answer, 405, "method_not_allowed")
    assert state_of(job) == "pending"


def test_an_admin_session_needs_the_csrf_token(api: Api, staff_user: User) -> None:
    job = make_job("ann")
    client = Client(enforce_csrf_checks=True)
    client.force_login(staff_user)
    assert_problem(client.delete(f"/cancel?hash={SHA256}"), 403, "not_allowed")
    assert state_of(job) == "pending"
    client.get("/admin/logout/")  # gives no cookie; the login page does
    client.get("/admin/login/?next=/")
    secret = "a" * 32
    client.cookies["csrftoken"] = secret
    answer = client.delete(f"/cancel?hash={SHA256}", HTTP_X_CSRFTOKEN=secret)
    assert answer.status_code == 200
    assert state_of(job) == "cancelled"
