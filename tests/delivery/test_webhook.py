import hashlib
import hmac
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from delivery.addresses import AddressPolicy
from delivery.http import post
from delivery.webhook import Attempt, Message, send
from tests.delivery.peers import LOOPBACK, Receiver, closed_port, drip, raw_peer, receiver


@pytest.fixture
def peer() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def message(url: str, **changes: Any) -> Message:
    fields = {"id": "msg_1", "event": "job.completed", "body": b'{"a":1}', "headers": {}}
    return Message(url=url, **(fields | changes))


def deliver(told: Message, **options: Any) -> Attempt:
    defaults: dict[str, Any] = {"policy": LOOPBACK, "timeout_s": 5.0, "version": "1.2.3"}
    return send(told, **(defaults | options))


def test_a_message_arrives_with_its_headers(peer: Receiver) -> None:
    told = message(peer.url(), headers={"Authorization": "Bearer x"})
    attempt = deliver(told)
    assert (attempt.ok, attempt.status, attempt.error) == (True, 200, None)
    assert 0 < attempt.duration_s < 5
    [request] = peer.requests
    assert request.body == b'{"a":1}'
    assert request.header("Content-Type") == "application/json"
    assert request.header("webhook-id") == "msg_1"
    assert request.header("X-Pixerve-Event") == "job.completed"
    assert request.header("User-Agent") == "Pixerve/1.2.3"
    assert request.header("Authorization") == "Bearer x"


def test_a_caller_may_choose_the_user_agent(peer: Receiver) -> None:
    deliver(message(peer.url(), headers={"user-agent": "mine"}))
    assert peer.requests[0].header("User-Agent") == "mine"


def test_a_signer_sees_message_and_time_and_adds_headers(peer: Receiver) -> None:
    def sign(told: Message, timestamp: int) -> dict[str, str]:
        text = f"{told.id}.{timestamp}.".encode() + told.body
        signature = hmac.new(b"key", text, hashlib.sha256).hexdigest()
        return {"webhook-timestamp": str(timestamp), "webhook-signature": signature}

    told = message(peer.url())
    assert deliver(told, sign=sign).ok
    [request] = peer.requests
    timestamp = int(request.header("webhook-timestamp") or 0)
    assert abs(timestamp - time.time()) < 10
    expected = sign(told, timestamp)["webhook-signature"]
    assert request.header("webhook-signature") == expected


def test_64_kib_of_an_answer_without_an_end_are_enough() -> None:
    sent = 0

    def talk(connection: socket.socket, stop: threading.Event) -> None:
        nonlocal sent
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not stop.is_set():
            sent += connection.send(b"x" * 4096)

    with raw_peer(talk) as port:
        assert deliver(message(f"http://127.0.0.1:{port}/")).ok
        answer = post(
            f"http://127.0.0.1:{port}/", body=b"", headers={}, policy=LOOPBACK, total_s=5.0
        )
    assert len(answer.body_start) == 64 * 1024
    assert sent < 50_000_000


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_success(peer: Receiver, status: int) -> None:
    peer.status, peer.answer = status, b""
    assert deliver(message(peer.url())).ok


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(400, False), (401, False), (404, False), (410, True), (429, False), (500, False)],
)
def test_another_status_is_failure_and_only_gone_is_final(
    peer: Receiver, status: int, permanent: bool
) -> None:
    peer.status = status
    attempt = deliver(message(peer.url()))
    assert (attempt.ok, attempt.status, attempt.permanent) == (False, status, permanent)
    assert attempt.error == f"http_{status}: the receiver answered {status}"


def test_a_redirect_is_a_failure(peer: Receiver) -> None:
    peer.status, peer.answer_headers = 302, {"Location": peer.url("/elsewhere")}
    attempt = deliver(message(peer.url()))
    assert attempt.error == "http_302: the receiver answered 302; redirects are not followed"
    assert len(peer.requests) == 1


def retry_after(peer: Receiver, status: int, value: str) -> float | None:
    peer.status, peer.answer_headers = status, {"Retry-After": value}
    return deliver(message(peer.url())).retry_after_s


@pytest.mark.parametrize(
    ("status", "value", "seconds"),
    [
        (429, "120", 120.0),
        (503, "0", 0.0),
        (503, "9" * 40, 999999999999.0),
        (500, "120", None),
        (503, "-5", None),
        (503, "1.5", None),
        (503, "soon", None),
        (503, "", None),
        (503, "Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        (503, "Wed, 21 Oct 2015 07:28:00 -0000", 0.0),
        (503, "Wed, 99 Oct 2015 07:28:00 GMT", None),
        (503, "\xb2", None),
    ],
)
def test_retry_after(peer: Receiver, status: int, value: str, seconds: float | None) -> None:
    assert retry_after(peer, status, value) == seconds


def test_retry_after_as_a_date_to_come(peer: Receiver) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    asked = retry_after(peer, 503, later)
    assert asked is not None
    assert 80 < asked <= 90


def test_network_trouble_is_an_attempt_not_an_exception() -> None:
    attempt = deliver(message(f"http://127.0.0.1:{closed_port()}/?token=sesame"))
    assert (attempt.ok, attempt.status, attempt.permanent) == (False, None, False)
    assert attempt.error is not None
    assert attempt.error.startswith("connect_failed: ")
    assert "sesame" not in attempt.error


def test_a_slow_receiver_is_a_timeout() -> None:
    with raw_peer(drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n")) as port:
        attempt = deliver(message(f"http://127.0.0.1:{port}/"), timeout_s=0.3)
    assert attempt.error == "timeout: not finished within 0.3 s"
    assert 0.2 < attempt.duration_s < 3


@pytest.mark.parametrize(
    ("url", "headers", "code"),
    [
        ("http://10.0.0.1/", {}, "address_refused"),
        ("gopher://example.com/", {}, "url_scheme"),
        ("http://127.0.0.1/", {"Host": "other"}, "header_reserved"),
    ],
)
def test_what_is_refused_stays_refused(url: str, headers: dict[str, str], code: str) -> None:
    attempt = deliver(message(url, headers=headers))
    assert attempt.permanent
    assert (attempt.error or "").startswith(f"{code}: ")


def test_a_name_with_a_private_address_is_refused() -> None:
    attempt = deliver(
        message("http://receiver.example/"),
        policy=AddressPolicy(),
        resolver=lambda *_: ["10.0.0.1"],
    )
    assert attempt.permanent
    assert (attempt.error or "").startswith("address_refused: ")


def test_a_message_shows_no_secret() -> None:
    told = message(
        "https://example.com/hook?token=sesame", headers={"Authorization": "Bearer hunter2"}
    )
    shown = f"{told!r} {told}"
    assert "sesame" not in shown
    assert "hunter2" not in shown
    assert "Authorization" in shown
    assert "https://example.com/hook" in shown
