"""GET /v1/events and POST /v1/callbacks/{id}/replay."""

import uuid
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User

from jobs import callbacks, leases, lifecycle, outcomes
from jobs.models import Callback, CallbackState, Event
from jobs.outcomes import Product
from tests.acceptance.endpoint import endpoint
from tests.api.caller import Api, assert_problem, upload_token
from tests.api.conftest import PASSWORD
from tests.jobs.making import SMALL_JOB, TRUNCATED, claim, make_job, owe, picture

pytestmark = pytest.mark.sql

HOOK = {**SMALL_JOB, "completionCallback": "http://127.0.0.1:9/hook"}


def end(number: int, subject: str = "alice", job: dict[str, Any] = SMALL_JOB) -> Event:
    """A job that completed, as its event."""
    make_job(subject, picture(number), job)
    outcomes.complete(claim(), Product(renditions=()))
    return Event.objects.latest("id")


def pages(api: Api, path: str, token: str) -> list[list[int]]:
    """The ids of each page, until there is no further one."""
    found = []
    while path:
        page = api.get(path, token=token).json()
        found.append([event["id"] for event in page["events"]])
        following = page["next"] and urlsplit(page["next"])
        path = f"{following.path}?{following.query}" if following else ""
    return found


def test_nothing_happened_yet(api: Api, staff: str) -> None:
    for token in (staff, upload_token(None)):
        answer = api.get("/v1/events?after=7", token=token)
        assert answer.status_code == 200
        assert answer.json() == {"events": [], "count": 0, "cursor": 7, "next": None}


def test_an_event_as_its_owner_sees_it(api: Api) -> None:
    reference = api.finished(token=upload_token(HOOK))
    event = Event.objects.get()
    [shown] = api.get("/v1/events", token=upload_token(None)).json()["events"]
    data = shown.pop("data")
    assert shown.pop("at").endswith("Z")
    assert shown == {
        "id": event.pk,
        "message_id": str(event.message_id),
        "type": "job.completed",
        "subject": "alice",
        "job_id": str(event.job.uid),
        "callback": {"state": "waiting", "attempts": 0},
    }
    assert (data["hash"], data["status"], data["job_data"]) == (reference, "completed", HOOK)


def test_ends_that_nobody_was_told_of_are_there_too(api: Api) -> None:
    api.finished()
    api.finished(TRUNCATED)
    lifecycle.cancel(make_job("alice", picture(5), HOOK))
    found = api.get("/v1/events", token=upload_token(None)).json()["events"]
    assert [(event["type"], event["callback"]) for event in found] == [
        ("job.completed", None),
        ("job.failed", None),
        ("job.cancelled", None),
    ]


def test_pages_in_order_without_a_gap(api: Api, staff: str) -> None:
    ids = [end(number).pk for number in range(5)]
    assert pages(api, "/v1/events?limit=2", staff) == [ids[:2], ids[2:4], ids[4:]]
    assert pages(api, f"/v1/events?limit=2&after={ids[1]}", staff) == [ids[2:4], ids[4:]]
    cursor = api.get("/v1/events?limit=5", token=staff).json()["cursor"]
    assert cursor == ids[-1]
    newer = end(9).pk
    assert pages(api, f"/v1/events?after={cursor}", staff) == [[newer]]


def test_a_subject_sees_its_own_and_staff_all(api: Api, staff: str) -> None:
    mine, other = end(1, "alice").pk, end(2, "bob").pk
    assert pages(api, "/v1/events", upload_token(None, "alice")) == [[mine]]
    assert pages(api, "/v1/events", upload_token(None, "bob")) == [[other]]
    assert pages(api, "/v1/events", staff) == [[mine, other]]


def test_who_may_not_ask(api: Api, plain: str) -> None:
    assert_problem(api.get("/v1/events"), 401, "not_authenticated")
    assert_problem(api.get("/v1/events", token=plain), 403, "staff_only")


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("after=-1", "invalid_parameter", "after"),
        ("after=x", "invalid_parameter", "after"),
        ("after=" + "9" * 30, "invalid_parameter", "after"),
        ("limit=0", "invalid_parameter", "limit"),
        ("limit=501", "invalid_parameter", "limit"),
        ("before=1", "unknown_parameter", "before"),
    ],
)
def test_wrong_parameters(api: Api, query: str, code: str, field: str) -> None:
    answer = api.get(f"/v1/events?{query}", token=upload_token(None))
    assert_problem(answer, 400, code, field)


# replay


def replay(api: Api, callback: Callback, token: str | None) -> Any:
    return api.call("POST", f"/v1/callbacks/{callback.event.message_id}/replay", token=token)


@pytest.mark.parametrize("state", ["waiting", "sent", "given_up"])
@pytest.mark.parametrize("who", ["owner", "staff"])
def test_a_callback_is_sent_once_more(
    api: Api, staff: str, configure: Any, state: str, who: str
) -> None:
    configure(callback_allow_private=(ip_network("127.0.0.0/8"),))
    with endpoint() as receiver:
        job = make_job()
        callback = owe(job, state=state, url=receiver.url, attempts_made=4)
        answer = replay(api, callback, staff if who == "staff" else upload_token(None))
        assert answer.status_code == 202
        assert answer.json() == {"message_id": str(callback.event.message_id), "state": "waiting"}
        sender = callbacks.Sender(threads=1)
        assert sender.send_due() == 1
        sender.close()
    assert [call.id for call in receiver.calls] == [str(callback.event.message_id)]
    callback.refresh_from_db()
    assert (callback.state, callback.attempts_made) == (CallbackState.SENT, 5)


def test_one_that_is_being_sent_is_left_alone(api: Api) -> None:
    callback = owe(make_job())
    assert callbacks.claim(callback, leases.myself())
    assert_problem(replay(api, callback, upload_token(None)), 409, "callback_sending")
    callback.refresh_from_db()
    assert callback.state == CallbackState.SENDING


def test_replays_are_limited_but_lock_nobody_out(
    api: Api, staff_user: User, configure: Any
) -> None:
    configure(rate_limit="2/m")
    callback = owe(make_job())
    for _ in range(2):
        assert replay(api, callback, upload_token(None)).status_code == 202
    refused = replay(api, callback, upload_token(None))
    assert_problem(refused, 429, "too_many_requests")
    assert 0 < int(refused["Retry-After"]) <= 60
    api.sign_in("boss", PASSWORD)


def test_what_cannot_be_replayed(api: Api, plain: str) -> None:
    callback = owe(make_job())
    assert_problem(replay(api, callback, None), 401, "not_authenticated")
    assert_problem(replay(api, callback, plain), 403, "staff_only")
    stranger = upload_token(None, "bob")
    assert_problem(replay(api, callback, stranger), 404, "unknown_callback")
    nobodys = f"/v1/callbacks/{uuid.uuid4()}/replay"
    answer = api.call("POST", nobodys, token=upload_token(None))
    assert_problem(answer, 404, "unknown_callback")
    assert_problem(api.call("POST", "/v1/callbacks/1/replay"), 404, "not_found")
