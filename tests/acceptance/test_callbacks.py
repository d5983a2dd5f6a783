"""The callback: what it says, to whom, how often, and what it keeps to itself."""

import base64
import hashlib
import hmac
import http.cookiejar
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from jobs import callbacks
from jobs.callbacks import EACH_ENDPOINT, THREADS
from jobs.models import Callback
from jobs.states import State
from tests.acceptance.endpoint import Endpoint, endpoint
from tests.acceptance.evidence import QUICK_JOB, SMALL, another, cast, job_row, post, rows
from tests.commands.library import make_job
from tests.server import IMAGES, ROOT, Answer, Pixerve, make_token, wait_for

SECRET = "Bearer zebra-crossing-4711"


def telling(to: Endpoint, **fields: Any) -> dict[str, Any]:
    return {**QUICK_JOB, "completionCallback": to.url, **fields}


def upload(server: Pixerve, picture: bytes, job: dict[str, Any]) -> Answer:
    answer = server.upload(picture, make_token(job))
    assert answer.status == 202, answer.body
    return answer


def callback_row(server: Pixerve, uid: str) -> dict[str, Any]:
    [row] = rows(
        server,
        "SELECT c.*, e.message_id FROM jobs_callback c JOIN jobs_event e ON e.id = c.event_id"
        " WHERE c.job_id = ?",
        job_row(server, uid)["id"],
    )
    return dict(row)


def wait_calls(receiver: Endpoint, count: int, *, within_s: float = 30.0) -> None:
    wait_for(lambda: len(receiver.calls) >= count, within_s=within_s, what=f"call {count}")


def test_completed_says_what_it_always_said_and_warnings(single: Pixerve) -> None:
    with endpoint() as receiver:
        job = telling(receiver, keepOriginal=True, callbackHeaders={"Authorization": SECRET})
        picture = another(SMALL, "told")
        before = int(time.time())
        reference = upload(single, picture, job).json()["hash"]
        wait_calls(receiver, 1)
    [call] = receiver.calls
    told = call.json()
    shown = {name: value for name, value in job.items() if name != "callbackHeaders"}
    stamp = told.pop("timestamp")
    [warning] = told.pop("warnings")
    assert (warning["code"], warning.keys()) == ("original_metadata_kept", {"code", "message"})
    assert told == {
        "hash": hashlib.sha256(picture).hexdigest(),
        "status": "completed",
        "file_count": 2,
        "job_data": shown,
    }
    assert reference == told["hash"]
    assert type(stamp) is int
    assert before <= stamp <= time.time() + 1
    assert call.headers["Authorization"] == SECRET
    assert call.headers["Content-Type"] == "application/json"
    assert call.headers["X-Pixerve-Event"] == "job.completed"


def test_a_receiver_verifies_with_the_secret_that_the_first_start_made(single: Pixerve) -> None:
    secret = (single.data / "webhook_secret").read_text().strip()
    with endpoint(500, 200) as receiver:
        upload(single, another(SMALL, "signed"), telling(receiver))
        wait_calls(receiver, 2)
    for call in receiver.calls:
        assert Webhook(secret).verify(call.body, dict(call.headers)) == call.json()
        stamp = call.headers["X-Pixerve-Timestamp"]
        digest = hmac.new(secret.encode(), f"{stamp}.".encode() + call.body, hashlib.sha256)
        assert call.headers["X-Pixerve-Signature"] == f"sha256={digest.hexdigest()}"
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(call.body + b" ", dict(call.headers))
    assert secret not in single.log


def test_what_was_lost_is_found_and_told_again(single: Pixerve) -> None:
    token = make_token(subject="forgetful")
    with endpoint(410, 200) as receiver:
        job = telling(receiver)
        answer = single.upload(another(SMALL, "lost"), make_token(job, subject="forgetful"))
        wait_calls(receiver, 1)

        def given_up() -> Any:
            [event] = single.get("/v1/events", token=token).json()["events"]
            return event if event["callback"]["state"] == "given_up" else None

        event = wait_for(given_up, what="giving up")
        assert event["data"] == receiver.calls[0].json()
        assert event["data"]["hash"] == answer.json()["hash"]
        path = f"/v1/callbacks/{event['message_id']}/replay"
        assert single.request("POST", path, token=make_token(subject="else")).status == 404
        assert single.request("POST", path, token=token).status == 202
        wait_calls(receiver, 2)
        assert single.manage("send_callbacks", "--event-id", event["message_id"]).returncode == 0
        wait_calls(receiver, 3)
    assert {call.id for call in receiver.calls} == {event["message_id"]}
    assert len({call.body for call in receiver.calls}) == 1


def test_failed_says_why(single: Pixerve) -> None:
    with endpoint() as receiver:
        broken = (IMAGES / "pil_truncated_jpeg.jpg").read_bytes()
        reference = upload(single, broken, telling(receiver)).json()["hash"]
        wait_calls(receiver, 1)
    told = receiver.calls[0].json()
    assert told.keys() == {"hash", "status", "file_count", "timestamp", "job_data", "error"}
    assert (told["hash"], told["status"], told["file_count"]) == (reference, "failed", 0)
    assert told["error"].keys() == {"code", "message"}
    assert told["error"]["code"] == "damaged_picture"
    assert receiver.calls[0].headers["X-Pixerve-Event"] == "job.failed"


def test_header_values_are_seen_by_the_endpoint_alone(single: Pixerve) -> None:
    with endpoint(500, 200) as receiver:
        job = telling(receiver, callbackHeaders={"Authorization": SECRET, "X-Tenant": "ocelot-77"})
        uid = post(single, another(SMALL, "secret"), job)
        wait_calls(receiver, 1)
        wait_for(lambda: callback_row(single, uid)["attempts_made"], what="the note of the attempt")
        admin_page = page_of_the_job(single, uid)
        status = single.get(f"/status?hash={job_row(single, uid)['sha256']}", token=make_token())
    assert receiver.calls[0].headers["X-Tenant"] == "ocelot-77"
    places = {"the log": single.log.encode(), "the admin": admin_page, "/status": status.body}
    stored = [each for each in single.data.rglob("*") if each.is_file()]
    places |= {str(each): each.read_bytes() for each in stored}
    assert any(name.endswith(".sqlite3") for name in places)
    for needle in (SECRET, "zebra-crossing", "ocelot-77"):
        for form in (needle.encode(), base64.b64encode(needle.encode()).rstrip(b"=")):
            assert [name for name, content in places.items() if form in content] == []


def page_of_the_job(server: Pixerve, uid: str) -> bytes:
    """The job's page of the admin, as a signed-in administrator sees it."""
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    page = f"/admin/jobs/job/{job_row(server, uid)['id']}/change/"
    login = f"{server.url}/admin/login/?next={page}"
    with browser.open(login, timeout=30) as answer:
        [csrf] = set(
            re.findall(r'name="csrfmiddlewaretoken" value="(.+?)"', answer.read().decode())
        )
    form = {
        "username": "root",
        "password": "root-password-1",
        "csrfmiddlewaretoken": csrf,
        "next": page,
    }
    with browser.open(login, urllib.parse.urlencode(form).encode(), timeout=30) as answer:
        content: bytes = answer.read()
    assert job_row(server, uid)["sha256"].encode() in content
    return content


def test_a_refusal_is_tried_again_under_the_same_id(single: Pixerve) -> None:
    with endpoint(500, 200) as receiver:
        uid = post(single, another(SMALL, "twice"), telling(receiver))
        wait_calls(receiver, 2)
        wait_for(lambda: callback_row(single, uid)["state"] == "sent", what="the end")
    first, second = receiver.calls
    assert first.id == second.id
    assert first.body == second.body
    row = callback_row(single, uid)
    assert row["message_id"] == first.id.replace("-", "")
    attempts = rows(
        single,
        "SELECT number, status FROM jobs_callbackattempt WHERE callback_id = ? ORDER BY number",
        row["id"],
    )
    assert [tuple(attempt) for attempt in attempts] == [(1, 500), (2, 200)]


def test_a_slow_endpoint_holds_up_only_itself(single: Pixerve) -> None:
    with endpoint(closed=True) as slow, endpoint() as quick:
        for each in range(THREADS + 2):
            post(single, another(SMALL, f"slow {each}"), telling(slow))
        wait_calls(slow, EACH_ENDPOINT)
        post(single, another(SMALL, "quick"), telling(quick))
        wait_calls(quick, 1, within_s=10)
        assert len(slow.calls) == EACH_ENDPOINT
        slow.gate.set()
        wait_calls(slow, THREADS + 2)
    assert slow.at_once == 1


def test_a_clerk_killed_while_sending_sends_again(single: Pixerve) -> None:
    with endpoint(closed=True) as receiver:
        uid = post(single, another(SMALL, "cut"), telling(receiver))
        wait_calls(receiver, 1)
        assert callback_row(single, uid)["state"] == "sending"
        cast(single, workers=1).clerk.kill()
        wait_calls(receiver, 2)
        receiver.gate.set()
        wait_for(lambda: callback_row(single, uid)["state"] == "sent", what="the end")
    assert {call.id.replace("-", "") for call in receiver.calls} == {
        callback_row(single, uid)["message_id"]
    }
    assert len(receiver.calls) == 2


def test_two_clerks_share_the_work_and_send_each_callback_once(single: Pixerve) -> None:
    with endpoint(closed=True) as receiver, second_clerk(single):
        uids = [
            post(single, another(SMALL, f"both {each}"), telling(receiver)) for each in range(24)
        ]
        # One clerk has so many requests to an endpoint at most: one more proves the other's part.
        wait_calls(receiver, EACH_ENDPOINT + 1)
        receiver.gate.set()
        for uid in uids:
            wait_for(lambda u=uid: states(single, u) == ["sent"], what="the callback")
    assert len(receiver.calls) == len(uids) == len({call.id for call in receiver.calls})


@pytest.mark.django_db
def test_a_callback_that_two_clerks_found_is_claimed_by_one() -> None:
    job = make_job("told", State.COMPLETED)
    event = job.events.create(type="job.completed", payload={})
    row = job.callbacks.create(event=event, url="https://a.example/")
    copies = [Callback.objects.get(pk=row.pk) for _ in range(2)]
    assert [callbacks.claim(copy, f"clerk {copy.pk}") for copy in copies] == [True, False]
    stale = Callback.objects.get(pk=row.pk)
    assert callbacks.claim(stale, "after a long silence")
    assert not callbacks.claim(stale, "too late")


@contextmanager
def second_clerk(server: Pixerve, **env: str) -> Iterator[None]:
    """A clerk beside the supervised one; it must end cleanly."""
    command = [sys.executable, str(ROOT / "manage.py"), "clerk"]
    env = server.environment() | env
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as clerk:
        try:
            yield
        finally:
            clerk.terminate()
            code = clerk.wait(30)
    assert code == 0


def states(server: Pixerve, uid: str) -> list[str]:
    """Of the job's callbacks, of which there is none before its end."""
    found = rows(
        server,
        "SELECT c.state FROM jobs_callback c JOIN jobs_job j ON j.id = c.job_id WHERE j.uid = ?",
        uid,
    )
    return [row["state"] for row in found]


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "169.254.169.254", "[::1]", "192.168.1.1", "[::ffff:10.0.0.1]", "0x7f.1"]
)
def test_a_private_literal_is_refused_at_the_door(single: Pixerve, host: str) -> None:
    job = {**QUICK_JOB, "completionCallback": f"http://{host}/hook"}
    answer = single.upload(another(SMALL, host), make_token(job))
    assert (answer.status, answer.json()["code"]) == (422, "invalid_spec")
    assert answer.json()["field"] == "job.completionCallback"


def test_a_private_address_is_refused_at_sending_too(single: Pixerve) -> None:
    """Allowed when the job came, forbidden when its end is told."""
    first = cast(single, workers=1).clerk
    first.suspend()
    try:
        with endpoint() as receiver:
            uid = post(single, another(SMALL, "careful"), telling(receiver))
            with second_clerk(single, PIXERVE_CALLBACK_ALLOW_PRIVATE=""):
                wait_for(lambda: states(single, uid) == ["given_up"], what="giving up")
        assert receiver.calls == []
    finally:
        first.resume()
    [row] = rows(
        single,
        "SELECT error FROM jobs_callbackattempt WHERE callback_id = ?",
        callback_row(single, uid)["id"],
    )
    assert "127.0.0.1" in row["error"] or "private" in row["error"]
