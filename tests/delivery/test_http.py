import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from delivery.addresses import AddressPolicy
from delivery.errors import (
    AddressRefused,
    BadAnswer,
    ConnectFailed,
    DnsFailed,
    TimedOut,
    TlsFailed,
    UrlRefused,
)
from delivery.http import Answer, post
from tests.delivery.peers import (
    LOOPBACK,
    Authority,
    Receiver,
    closed_port,
    drip,
    raw_peer,
    receiver,
    say,
)


@pytest.fixture
def peer() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def call(url: str, **options: Any) -> Answer:
    defaults: dict[str, Any] = {"body": b"{}", "headers": {}, "policy": LOOPBACK, "total_s": 5.0}
    return post(url, **(defaults | options))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


def test_a_post_arrives_as_it_was_given(peer: Receiver) -> None:
    body = b'{"a": "\xc3\xa9"}'
    answer = call(peer.url("/hook?a=b"), body=body, headers={"X-Test": "caf\xe9"})
    assert (answer.status, answer.body_start, answer.address) == (200, b"thanks", "127.0.0.1")
    assert answer.headers["content-length"] == "6"
    assert 0 < answer.duration_s < 5
    [request] = peer.requests
    assert (request.path, request.body) == ("/hook?a=b", body)
    assert request.header("Host") == f"127.0.0.1:{peer.port}"
    assert request.header("X-Test") == "caf\xe9"
    assert request.header("User-Agent") == "Pixerve"
    assert request.header("Content-Length") == str(len(body))
    assert request.header("Connection") == "close"


def test_the_user_agent_can_be_given(peer: Receiver) -> None:
    call(peer.url(), headers={"User-Agent": "Pixerve/1.2"})
    assert peer.requests[0].header("User-Agent") == "Pixerve/1.2"


@pytest.mark.parametrize("status", [204, 400, 404, 500, 503])
def test_every_status_is_an_answer(peer: Receiver, status: int) -> None:
    peer.status, peer.answer = status, b""
    assert call(peer.url()).status == status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(peer: Receiver, status: int) -> None:
    peer.status = status
    peer.answer_headers = {"Location": peer.url("/elsewhere")}
    assert call(peer.url()).status == status
    assert [request.path for request in peer.requests] == ["/hook"]


def test_proxy_variables_are_ignored(peer: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = f"http://127.0.0.1:{closed_port()}"
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, nobody)
    assert call(peer.url()).status == 200


def test_a_netrc_is_ignored(
    peer: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login me password sesame")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    call(peer.url())
    assert peer.requests[0].header("Authorization") is None


def test_only_the_start_of_a_long_answer_is_read(peer: Receiver) -> None:
    peer.answer = b"x" * 10_000_000
    assert len(call(peer.url(), max_answer=1000).body_start) == 1000


def test_a_compressed_answer_is_not_unpacked(peer: Receiver) -> None:
    peer.answer = b"not really gzip"
    peer.answer_headers = {"Content-Encoding": "gzip"}
    assert call(peer.url()).body_start == b"not really gzip"


# addresses


def test_the_name_is_resolved_once_and_kept_as_host(peer: Receiver) -> None:
    asked: list[tuple[str, int]] = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    answer = call(peer.url(host="receiver.example"), resolver=resolver)
    assert answer.address == "127.0.0.1"
    assert asked == [("receiver.example", peer.port)]
    assert peer.requests[0].header("Host") == f"receiver.example:{peer.port}"


@pytest.mark.parametrize("bad", ["10.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "::1"])
@pytest.mark.parametrize("position", [0, 1])
def test_one_bad_address_spoils_the_name(peer: Receiver, bad: str, position: int) -> None:
    found = ["127.0.0.1"]
    found.insert(position, bad)
    with pytest.raises(AddressRefused, match=r"receiver\.example: .* is not a public address"):
        call(peer.url(host="receiver.example"), resolver=lambda *_: found)
    assert peer.requests == []


def test_the_systems_own_answer_is_checked_too(peer: Receiver) -> None:
    policy = AddressPolicy([ip_network("::1/128")])
    with pytest.raises(AddressRefused, match=r"localhost: 127\.0\.0\.1 is not a public"):
        call(peer.url(host="localhost"), policy=policy)
    assert peer.requests == []


def test_the_system_resolves_names(peer: Receiver) -> None:
    policy = AddressPolicy([ip_network("127.0.0.0/8"), ip_network("::1/128")])
    assert call(peer.url(host="localhost"), policy=policy).address == "127.0.0.1"


def test_a_private_literal_is_refused_without_a_look_at_dns(peer: Receiver) -> None:
    with pytest.raises(UrlRefused) as caught:
        call(peer.url(), policy=AddressPolicy(), resolver=lambda *_: ["8.8.8.8"])
    assert caught.value.code == "address_refused"
    assert peer.requests == []


def test_the_next_address_is_tried_after_a_refused_connection(peer: Receiver) -> None:
    # The receiver listens on 127.0.0.1 alone, so 127.0.0.2 refuses.
    found = ["127.0.0.2", "127.0.0.1"]
    answer = call(peer.url(host="receiver.example"), resolver=lambda *_: found)
    assert answer.address == "127.0.0.1"


def test_nothing_is_sent_twice_after_a_bad_answer() -> None:
    seen: list[bytes] = []

    def talk(connection: socket.socket, stop: threading.Event) -> None:
        seen.append(connection.recv(65536))

    found = ["127.0.0.1", "127.0.0.1"]
    with raw_peer(talk) as port, pytest.raises(BadAnswer):
        call(f"http://receiver.example:{port}/", resolver=lambda *_: found)
    assert len(seen) == 1


def test_a_refused_connection_is_an_error_with_a_reason() -> None:
    port = closed_port()
    with pytest.raises(ConnectFailed) as caught:
        call(f"http://127.0.0.1:{port}/secret?token=sesame", headers={"X": "hunter2"})
    assert str(caught.value) == (
        f"connect_failed: 127.0.0.1 at 127.0.0.1 port {port}: Connection refused"
    )
    assert not caught.value.permanent


def test_an_unknown_name_is_a_dns_error() -> None:
    with pytest.raises(DnsFailed) as caught:
        call("http://nowhere.invalid/", total_s=60)
    assert caught.value.message.startswith("nowhere.invalid: ")
    assert not caught.value.permanent


def test_a_name_without_addresses_is_a_dns_error() -> None:
    with pytest.raises(DnsFailed, match="no address"):
        call("http://receiver.example/", resolver=lambda *_: [])


# time


def test_a_slow_resolver_meets_the_deadline() -> None:
    release = threading.Event()

    def resolver(host: str, port: int) -> list[str]:
        release.wait(30)
        return ["127.0.0.1"]

    with within(3), pytest.raises(TimedOut):
        call("http://receiver.example/", total_s=0.2, resolver=resolver)
    release.set()


SLOW_PEERS = {
    "silence": (b"", b""),
    "status line": (b"HTTP/1.1 2", b"0"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\nX-A: ", b"b"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"b"),
    "body until end": (b"HTTP/1.1 200 OK\r\n\r\n", b"b"),
    "chunked body": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nb\r\n"),
}


@pytest.mark.parametrize("slow", SLOW_PEERS)
def test_a_dripping_peer_meets_the_deadline(slow: str) -> None:
    with raw_peer(drip(*SLOW_PEERS[slow])) as port, within(3), pytest.raises(TimedOut) as caught:
        call(f"http://127.0.0.1:{port}/", total_s=0.4)
    assert str(caught.value) == "timeout: not finished within 0.4 s"
    assert not caught.value.permanent


def test_a_peer_that_reads_nothing_meets_the_deadline() -> None:
    with raw_peer(drip(b"", b"")) as port, within(3), pytest.raises(TimedOut):
        call(f"http://127.0.0.1:{port}/", body=b"x" * 50_000_000, total_s=0.4)


def test_a_dripping_tls_handshake_meets_the_deadline() -> None:
    # The start of a handshake record of 16 KiB, then its bytes one by one.
    with (
        raw_peer(drip(b"\x16\x03\x03\x40\x00", b"\x02")) as port,
        within(3),
        pytest.raises(TimedOut),
    ):
        call(f"https://127.0.0.1:{port}/", total_s=0.4)


def test_a_dripping_answer_over_tls_meets_the_deadline(authority: Authority) -> None:
    context = authority.server("receiver.example")
    send_drops = drip(*SLOW_PEERS["one header"])

    def talk(connection: socket.socket, stop: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as encrypted:
            send_drops(encrypted, stop)

    options = {"tls": authority.client(), "resolver": lambda *_: ["127.0.0.1"], "total_s": 0.4}
    with raw_peer(talk) as port, within(3), pytest.raises(TimedOut):
        call(f"https://receiver.example:{port}/", **options)


def test_a_connect_that_hangs_ends_after_connect_s() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        with fill_backlog(address), within(3), pytest.raises(TimedOut) as caught:
            call(f"http://127.0.0.1:{address[1]}/", connect_s=0.3, total_s=30)
    assert "no connection within 0.3 s" in caught.value.message


@contextmanager
def fill_backlog(address: tuple[str, int]) -> Iterator[None]:
    """Connect until the listener, which accepts nothing, takes no more."""
    waiting: list[socket.socket] = []
    try:
        while True:
            waiting.append(socket.socket())
            waiting[-1].settimeout(0.2)
            waiting[-1].connect(address)
    except TimeoutError:
        yield
    finally:
        for sock in waiting:
            sock.close()


def test_no_timer_runs_on(peer: Receiver) -> None:
    call(peer.url(), total_s=600)
    timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    for timer in timers:
        timer.join(10)
    assert not any(timer.is_alive() for timer in timers)


# odd answers


ODD_ANSWERS = {
    "nothing": b"",
    "not http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "no number": b"HTTP/1.1 abc OK\r\n\r\n",
    "number too small": b"HTTP/1.1 42 OK\r\n\r\n",
    "endless status line": b"HTTP/1.1 200 " + b"a" * 70_000 + b"\r\n\r\n",
    "endless header": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    "lengths differ": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n",
}


@pytest.mark.parametrize("odd", ODD_ANSWERS)
def test_an_odd_answer_is_a_bad_answer(odd: str) -> None:
    with raw_peer(say(ODD_ANSWERS[odd])) as port, pytest.raises(BadAnswer) as caught:
        call(f"http://127.0.0.1:{port}/?token=sesame", headers={"X": "hunter2"})
    assert "sesame" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_malformed_header_puts_no_secret_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    malformed = b"HTTP/1.1 200 OK\r\nno colon here\r\nContent-Length: 0\r\n\r\n"
    with raw_peer(say(malformed)) as port:
        assert call(f"http://127.0.0.1:{port}/?token=sesame").status == 200
    assert "sesame" not in caplog.text


def test_a_cut_body_still_is_an_answer() -> None:
    with raw_peer(say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab")) as port:
        answer = call(f"http://127.0.0.1:{port}/")
    assert (answer.status, answer.body_start) == (200, b"ab")


def test_an_answer_before_the_body_was_read_counts() -> None:
    with raw_peer(say(b"HTTP/1.1 413 Too big\r\nContent-Length: 0\r\n\r\n")) as port:
        assert call(f"http://127.0.0.1:{port}/", body=b"x" * 20_000_000).status == 413


# TLS


def over_tls(authority: Authority, certificate_for: str, **options: Any) -> tuple[Answer, Receiver]:
    with receiver(authority.server(certificate_for)) as peer:
        options = {"tls": authority.client(), "resolver": lambda *_: ["127.0.0.1"]} | options
        return call(peer.url(host="receiver.example"), **options), peer


def test_sni_and_certificate_follow_the_name_not_the_address(authority: Authority) -> None:
    answer, peer = over_tls(authority, "receiver.example")
    assert (answer.status, answer.address) == (200, "127.0.0.1")
    assert peer.server_names == ["receiver.example"]
    assert peer.requests[0].header("Host") == f"receiver.example:{peer.port}"


def test_a_certificate_for_another_name_is_refused(authority: Authority) -> None:
    with pytest.raises(TlsFailed) as caught:
        over_tls(authority, "other.example")
    assert "Hostname mismatch" in caught.value.message
    assert not caught.value.permanent


def test_a_certificate_of_an_unknown_authority_is_refused(authority: Authority) -> None:
    with pytest.raises(TlsFailed, match="certificate refused"):
        over_tls(authority, "receiver.example", tls=None)


def test_an_address_needs_a_certificate_for_the_address(authority: Authority) -> None:
    mismatch = pytest.raises(TlsFailed, match="IP address mismatch")
    with receiver(authority.server("receiver.example")) as peer, mismatch:
        call(peer.url(), tls=authority.client())


def test_a_peer_without_tls_is_a_tls_error(peer: Receiver) -> None:
    with pytest.raises(TlsFailed, match="handshake failed"):
        call(f"https://127.0.0.1:{peer.port}/")


def test_the_default_context_checks_names_and_certificates() -> None:
    from delivery.http import system_tls

    assert system_tls().check_hostname
    assert system_tls().verify_mode is ssl.CERT_REQUIRED
