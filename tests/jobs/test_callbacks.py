"""Callbacks: sent from their rows, once at a time, with a few tries, and without a leak."""

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.db import OperationalError, connection
from django.utils import timezone
from pytest_django import Settings
from standardwebhooks.webhooks import Webhook

from delivery.retry import SCHEDULE
from delivery.signing import Signer, new_secret
from jobs import callbacks, leases, outcomes
from jobs.callbacks import Sender
from jobs.events import endpoint_of
from jobs.models import Callback, CallbackAttempt, CallbackState, Job
from jobs.outcomes import Product
from tests.acceptance.endpoint import Endpoint, endpoint
from tests.jobs.making import SMALL_JOB, claim, make_job, picture
from tests.server import wait_for

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]
Configure = Callable[..., None]
HUSH = "hush-secret"


@pytest.fixture(autouse=True)
def peers_are_here(configure: Configure) -> None:
    configure(callback_allow_private=(ip_network("127.0.0.0/8"),))


def owed(url: str, number: int = 0, **job: Any) -> Callback:
    """The callback of a job that just completed."""
    asked = {**SMALL_JOB, "completionCallback": url, "callbackHeaders": {"X-Key": HUSH}, **job}
    make_job("alice", picture(number), asked)
    outcomes.complete(claim(), Product(renditions=()))
    return Callback.objects.latest("id")


def try_once(callback: Callback) -> Callback:
    """Claim and send it as the clerk does, whenever it is due."""
    callback.refresh_from_db()
    Callback.objects.filter(pk=callback.pk).update(next_at=timezone.now())
    assert callbacks.claim(callback, leases.myself())
    callback.fence += 1
    callbacks.send_now(callback)
    callback.refresh_from_db()
    return callback


def test_sent_as_promised() -> None:
    with endpoint(204) as receiver:
        callback = try_once(owed(receiver.url))
    (call,) = receiver.calls
    assert call.json() == callback.event.payload
    assert call.headers["Content-Type"] == "application/json"
    assert call.headers["X-Key"] == HUSH
    assert call.headers["X-Pixerve-Event"] == "job.completed"
    assert call.id == str(callback.event.message_id)
    assert call.headers["User-Agent"].startswith("Pixerve/")
    assert (callback.state, callback.attempts_made) == (CallbackState.SENT, 1)
    assert callback.finished_at is not None
    attempt = CallbackAttempt.objects.get()
    assert (attempt.number, attempt.status, attempt.error) == (1, 204, "")


def test_all_tries_carry_one_id() -> None:
    with endpoint(500, 503, 200) as receiver:
        callback = owed(receiver.url)
        for state in (CallbackState.WAITING, CallbackState.WAITING, CallbackState.SENT):
            assert try_once(callback).state == state
    assert len({call.id for call in receiver.calls}) == 1
    assert list(callback.attempts.values_list("number", "status")) == [
        (1, 500),
        (2, 503),
        (3, 200),
    ]


def test_pauses_grow_and_end() -> None:
    with endpoint(500) as receiver:
        callback = owed(receiver.url)
        for pause in SCHEDULE[1:]:
            callback = try_once(callback)
            wait = (callback.next_at - timezone.now()).total_seconds()
            assert pause * 0.9 - 5 <= wait <= pause * 1.1
            assert callback.state == CallbackState.WAITING
        callback = try_once(callback)
    assert (callback.state, callback.attempts_made) == (CallbackState.GIVEN_UP, len(SCHEDULE))


def test_the_schedule_is_a_setting(configure: Configure) -> None:
    configure(callback_schedule=(30, 600))
    with endpoint(500) as receiver:
        callback = owed(receiver.url)
        assert 25 <= (callback.next_at - timezone.now()).total_seconds() <= 30
        callback = try_once(callback)
        assert 535 <= (callback.next_at - timezone.now()).total_seconds() <= 660
        callback = try_once(callback)
    assert (callback.state, callback.attempts_made) == (CallbackState.GIVEN_UP, 2)


def test_a_replay_has_the_whole_schedule_before_it(configure: Configure) -> None:
    configure(callback_schedule=(0, 5))
    with endpoint(500) as receiver:
        callback = owed(receiver.url)
        for state in (CallbackState.WAITING, CallbackState.GIVEN_UP):
            assert try_once(callback).state == state
        assert callbacks.replay(Callback.objects.all()) == 1
        assert callbacks.due().get().finished_at is None
        for state in (CallbackState.WAITING, CallbackState.GIVEN_UP):
            assert try_once(callback).state == state
    assert [attempt.number for attempt in callback.attempts.all()] == [1, 2, 3, 4]
    assert len({call.id for call in receiver.calls}) == 1


def test_each_attempt_is_signed_afresh(settings: Settings) -> None:
    old, new = new_secret(), new_secret()
    settings.KEYS = replace(settings.KEYS, signer=Signer((new, old)))
    with endpoint(500, 200) as receiver:
        callback = try_once(owed(receiver.url))
        first = int(receiver.calls[0].headers["webhook-timestamp"])
        wait_for(lambda: time.time() > first + 1, what="the next second")
        try_once(callback)
    one, two = receiver.calls
    assert int(two.headers["webhook-timestamp"]) > first
    assert one.id == two.id
    for call in receiver.calls:
        for secret in (new, old):
            assert Webhook(secret).verify(call.body, dict(call.headers)) == call.json()


def test_public_hosts_are_called_at_the_usual_ports_only(configure: Configure) -> None:
    callback = owed("http://127.0.0.1:9/")
    Callback.objects.update(url="http://8.8.8.8:8080/")
    assert try_once(callback).state == CallbackState.GIVEN_UP
    assert callback.attempts.get().error == "url_port: port 8080 is not allowed"


def test_gone_is_gone() -> None:
    with endpoint(410) as receiver:
        callback = try_once(owed(receiver.url))
    assert callback.state == CallbackState.GIVEN_UP


def test_redirects_are_not_followed() -> None:
    with endpoint(302) as receiver:
        callback = try_once(owed(receiver.url))
    assert len(receiver.calls) == 1
    assert callback.state == CallbackState.WAITING


def test_nobody_there() -> None:
    with endpoint() as receiver:
        url = receiver.url
    callback = try_once(owed(url))
    assert callback.state == CallbackState.WAITING
    assert callback.attempts.get().error.startswith("connect_failed")


def test_an_address_that_is_private_by_now(configure: Configure) -> None:
    with endpoint() as receiver:
        callback = owed(receiver.url)
        configure(callback_allow_private=())
        callback = try_once(callback)
    assert receiver.calls == []
    assert callback.state == CallbackState.GIVEN_UP


def test_headers_of_a_lost_key(settings: Settings) -> None:
    with endpoint() as receiver:
        callback = owed(receiver.url)
        key = Fernet.generate_key().decode()
        settings.KEYS = replace(settings.KEYS, credential_keys=(key,))
        callback = try_once(callback)
    assert receiver.calls == []
    assert callback.state == CallbackState.GIVEN_UP
    assert callback.attempts.get().error.startswith("headers_unreadable")


def test_headers_of_another_job_are_not_sent() -> None:
    with endpoint() as receiver:
        one, two = owed(receiver.url, 1), owed(receiver.url, 2)
        Callback.objects.filter(pk=two.pk).update(sealed_headers=one.sealed_headers)
        assert try_once(two).state == CallbackState.GIVEN_UP
    assert receiver.calls == []


# Who sends


def test_one_sender_claims() -> None:
    callback = owed("http://127.0.0.1:9/")
    twin = Callback.objects.get(pk=callback.pk)
    assert callbacks.claim(callback, "one")
    assert not callbacks.claim(twin, "two")
    assert Callback.objects.get().owner == "one"


def test_what_is_due() -> None:
    callback = owed("http://127.0.0.1:9/")
    rows = Callback.objects.filter(pk=callback.pk)
    now = timezone.now()
    for state, at, expected in [
        (CallbackState.WAITING, now, True),
        (CallbackState.WAITING, now + timedelta(minutes=1), False),
        (CallbackState.SENDING, now + timedelta(minutes=1), False),
        (CallbackState.SENDING, now, True),
        (CallbackState.SENT, now, False),
        (CallbackState.GIVEN_UP, now, False),
    ]:
        rows.update(state=state, next_at=at)
        assert callbacks.due().exists() is expected, state


def test_a_dead_senders_callback_is_sent_by_another() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    callback = owed("http://127.0.0.1:9/")
    assert callbacks.claim(callback, leases.owner_of(process.pid))
    assert callbacks.reclaim_orphans() == 0
    process.kill()
    process.communicate()
    assert callbacks.reclaim_orphans() == 1
    assert callbacks.due().count() == 1


def test_a_callback_reclaimed_by_a_faster_clerk_is_left_to_it() -> None:
    callback = owed("http://127.0.0.1:9/")
    assert callbacks.claim(callback, leases.owner_of(2**22 + 1))  # no such process can live

    def faster(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.startswith("UPDATE"):
            with connection.cursor() as cursor:
                cursor.cursor.execute(f"UPDATE jobs_callback SET owner = '{leases.myself()}'")  # noqa: S608
        return execute(sql, *rest)

    with connection.execute_wrapper(faster):
        assert callbacks.reclaim_orphans() == 0
    assert Callback.objects.get().state == CallbackState.SENDING


def test_a_former_sender_does_not_overwrite() -> None:
    with endpoint(500) as receiver:
        callback = owed(receiver.url)
        callbacks.claim(callback, "gone")
        stale = Callback.objects.get()
        Callback.objects.update(state=CallbackState.SENT, fence=stale.fence + 1)
        callbacks.send_now(stale)
    assert Callback.objects.get().state == CallbackState.SENT


def test_an_attempt_that_the_database_does_not_take_is_kept() -> None:
    def away(*args: object) -> None:
        raise OperationalError("away")

    with endpoint() as receiver:
        callback = owed(receiver.url)
        assert callbacks.claim(callback, leases.myself())
        callback.fence += 1
        sender = Sender(threads=1)
        sender._unwritten.append((callback, callbacks._post(callback)))
        with connection.execute_wrapper(away), pytest.raises(OperationalError):
            sender.send_due()
        sent_by(sender, receiver)
    callback.refresh_from_db()
    assert (callback.state, callback.attempts.count()) == (CallbackState.SENT, 1)
    assert len(receiver.calls) == 1


def test_an_attempt_is_noted_once_however_often_it_is_written() -> None:
    callback = owed("http://127.0.0.1:9/hook")
    assert callbacks.claim(callback, leases.myself())
    callback.fence += 1
    attempt = callbacks.send_now(callback)
    callbacks.note(callback, attempt)  # as after a COMMIT whose answer was lost
    assert [each.number for each in callback.attempts.all()] == [1]


def sent_by(sender: Sender, receiver: Endpoint) -> None:
    sender.send_due()
    sender.close()


def test_the_sender_sends_what_is_due() -> None:
    with endpoint() as receiver:
        callback = owed(receiver.url)
        sent_by(Sender(threads=1), receiver)
    assert len(receiver.calls) == 1
    callback.refresh_from_db()
    assert callback.state == CallbackState.SENT


def test_a_sender_takes_no_more_than_it_has_threads() -> None:
    with endpoint(closed=True) as receiver:
        for number in range(3):
            owed(receiver.url, number)
        sender = Sender(threads=1)
        assert [sender.send_due(), sender.send_due()] == [1, 0]
        receiver.gate.set()
        sender.close()
    assert len(receiver.calls) == 1


def test_a_crowd_for_a_slow_endpoint_does_not_hide_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(callbacks, "LOOK_AHEAD", 5)
    with endpoint(closed=True) as slow, endpoint() as quick:
        for number in range(8):
            owed(slow.url, number)
        last = owed(quick.url, 8)
        sender = Sender(threads=4, each=2)
        assert sender.send_due() == 3
        wait_for(lambda: Callback.objects.get(pk=last.pk).state == CallbackState.SENT)
        slow.gate.set()
        sender.close()
    assert (len(slow.calls), len(quick.calls)) == (2, 1)


def test_a_subject_that_finds_many_names_for_its_endpoint_leaves_room() -> None:
    with endpoint(closed=True) as slow:
        for number in range(3):
            owed(f"http://127.0.0.{number + 1}:{slow.port}/hook", number)
        sender = Sender(threads=4, each=2, of_subject=2)
        assert sender.send_due() == 2
        Job.objects.filter(state="completed").update(subject="bob")
        assert sender.send_due() == 1
        slow.gate.set()
        sender.close()


@pytest.mark.parametrize(
    "url",
    ["http://H.example/a", "http://h.example:80", "http://h.example:080/", "http://h.example."],
)
def test_an_endpoint_is_a_host_and_a_port(url: str) -> None:
    assert endpoint_of(url) == "h.example:80"


# Secrets


def test_nothing_secret_is_logged_or_noted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with endpoint(500, 200) as receiver:
        callback = owed(f"{receiver.url}?token={HUSH}-query")
        try_once(callback)
        try_once(callback)
    noted = [attempt.error for attempt in CallbackAttempt.objects.all()]
    assert HUSH not in caplog.text
    assert HUSH not in repr(noted)
    assert "attempt 1" in caplog.text
