"""Request bodies are bounded before anything reads them."""

import io
import json
import socket
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from jobs.errors import PayloadTooLarge
from pixerve_site.body import OTHER_LIMIT, UPLOAD_PATH, CappedReader, bounded
from tests.jobs.making import HOPPER, SMALL_JOB
from tests.server import Pixerve, make_token, multipart

Configure = Callable[..., None]
CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}


class Peer:
    """A WSGI server's side of one request."""

    def __init__(self, path: str, body: bytes, **environ: Any) -> None:
        self.environ: dict[str, Any] = {
            "PATH_INFO": path,
            "wsgi.input": io.BytesIO(body),
            **environ,
        }
        self.status = ""
        self.headers: dict[str, str] = {}
        self.read: bytes | None = None

    def start_response(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.status, self.headers = status, dict(headers)

    def application(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Reads as Django does: as far as CONTENT_LENGTH says."""
        self.read = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response("200 OK", [])
        return [b"fine"]

    def ask(self) -> bytes:
        return b"".join(bounded(self.application)(self.environ, self.start_response))


def test_a_body_in_its_bounds() -> None:
    peer = Peer("/token", b"x" * 100, CONTENT_LENGTH="100")
    assert (peer.ask(), peer.read) == (b"fine", b"x" * 100)


def test_no_body() -> None:
    for length in ({}, {"CONTENT_LENGTH": ""}, {"CONTENT_LENGTH": "0"}):
        peer = Peer("/health", b"", **length)
        assert (peer.ask(), peer.read) == (b"fine", b"")


@pytest.mark.parametrize("path", ["/token", "/register", "/upload/", "/admin/login/", ""])
def test_a_declared_length_over_the_limit_is_refused_unread(path: str) -> None:
    peer = Peer(path, b"never read", CONTENT_LENGTH=str(OTHER_LIMIT + 1))
    body = json.loads(peer.ask())
    assert peer.read is None
    assert peer.status.startswith("413 ")
    assert peer.headers["Content-Type"] == "application/problem+json"
    assert peer.headers["Connection"] == "close"
    assert (body["code"], body["status"]) == ("body_too_large", 413)
    assert body["type"] == "urn:pixerve:problem:body_too_large"
    assert set(body) == {"type", "title", "status", "detail", "code"}


def test_uploads_have_a_limit_of_their_own(configure: Configure) -> None:
    configure(max_upload_bytes=5 * 2**20)
    fine = Peer(UPLOAD_PATH, b"", CONTENT_LENGTH=str(6 * 2**20))
    assert fine.ask() == b"fine"
    over = Peer(UPLOAD_PATH, b"", CONTENT_LENGTH=str(6 * 2**20 + 1))
    assert json.loads(over.ask())["code"] == "body_too_large"


@pytest.mark.parametrize("length", ["-1", "1e3", "ten", "1 0", "٣", "0x10", "1,2"])
def test_a_length_that_is_none(length: str) -> None:
    peer = Peer("/token", b"", CONTENT_LENGTH=length)
    assert json.loads(peer.ask())["code"] == "malformed_request"
    assert peer.status.startswith("400 ")


def test_a_length_beyond_all_numbers() -> None:
    peer = Peer("/token", b"", CONTENT_LENGTH="9" * 19)
    assert json.loads(peer.ask())["code"] == "body_too_large"
    huge = Peer("/token", b"", CONTENT_LENGTH="9" * 5000)
    assert json.loads(huge.ask())["code"] == "malformed_request"


def test_a_chunked_body_is_read_whole() -> None:
    peer = Peer("/token", b"x" * 5000, **CHUNKED)
    assert (peer.ask(), peer.read) == (b"fine", b"x" * 5000)


def test_a_chunked_body_is_cut_at_the_limit() -> None:
    peer = Peer("/token", b"x" * (OTHER_LIMIT + 1), **CHUNKED)
    with pytest.raises(PayloadTooLarge):
        peer.ask()


# The capped reader


@pytest.mark.parametrize("size", [-1, 1, 3, 10, 11, 100])
def test_as_much_as_allowed(size: int) -> None:
    reader = CappedReader(io.BytesIO(b"0123456789"), 10)
    found = b""
    while chunk := reader.read(size):
        found += chunk
    assert found == b"0123456789"


@pytest.mark.parametrize("size", [-1, 1, 3, 10, 11, 100])
def test_not_one_byte_more(size: int) -> None:
    reader = CappedReader(io.BytesIO(b"0123456789X"), 10)
    with pytest.raises(PayloadTooLarge) as caught:
        list(iter(lambda: reader.read(size), b""))
    assert "10" in caught.value.message


def test_no_more_than_one_byte_over_is_taken_from_the_peer() -> None:
    stream = io.BytesIO(b"x" * 1000)
    with pytest.raises(PayloadTooLarge):
        CappedReader(stream, 10).read(500)
    assert stream.tell() == 11


def test_lines() -> None:
    assert list(CappedReader(io.BytesIO(b"a\nbb\nc"), 10)) == [b"a\n", b"bb\n", b"c"]
    with pytest.raises(PayloadTooLarge):
        list(CappedReader(io.BytesIO(b"a\nbb\ncccccccc"), 10))
    assert CappedReader(io.BytesIO(b"abcdef"), 10).readline(3) == b"abc"


def test_chunks_that_are_none_are_refused_by_name(server: Pixerve) -> None:
    head = (
        "POST /token HTTP/1.1\nHost: localhost\nContent-Type: application/json\n"
        "Transfer-Encoding: chunked\nConnection: close\n"
    )
    answer = raw(server, head, b"zz\r\n{}\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert b'"malformed_request"' in answer


# Over a real connection


def raw(server: Pixerve, head: str, body: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as peer:
        peer.sendall(head.replace("\n", "\r\n").encode() + b"\r\n" + body)
        peer.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := peer.recv(65536):
            answer += chunk
    return answer


def head_of(server: Pixerve, subject: str, content_type: str) -> str:
    token = make_token(SMALL_JOB, subject=subject)
    return (
        f"POST /upload HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n"
        f"Authorization: Bearer {token}\nContent-Type: {content_type}\n"
    )


def test_a_chunked_upload(server: Pixerve) -> None:
    body, content_type = multipart([("file", "a.jpg", HOPPER)])
    chunks = b"".join(
        f"{len(part):x}\r\n".encode() + part + b"\r\n"
        for part in (body[:100], body[100:5000], body[5000:])
    )
    head = head_of(server, "chunked", content_type) + "Transfer-Encoding: chunked\n"
    answer = raw(server, head, chunks + b"0\r\n\r\n")
    assert b" 202 " in answer.split(b"\r\n", 1)[0]


@pytest.mark.parametrize("how", ["Content-Length", "chunked"])
def test_a_connection_cut_in_the_middle_makes_no_job(server: Pixerve, how: str) -> None:
    body, content_type = multipart([("file", "a.jpg", HOPPER), ("file", "b.jpg", HOPPER + b"x")])
    part = body[: len(HOPPER) + 2000]
    head = head_of(server, f"cut-{how}", content_type)
    if how == "chunked":
        head += "Transfer-Encoding: chunked\n"
        part = f"{len(body):x}\r\n".encode() + part
    else:
        head += f"Content-Length: {len(body)}\n"
    before = set((server.data / "staging").glob("*/source"))
    answer = raw(server, head, part)
    assert b" 400 " in answer.split(b"\r\n", 1)[0], answer
    assert b"malformed_request" in answer
    assert set((server.data / "staging").glob("*/source")) <= before


def test_a_body_announced_too_long_is_answered_before_it_is_sent(server: Pixerve) -> None:
    head = head_of(server, "long", "multipart/form-data; boundary=x")
    answer = raw(server, head + f"Content-Length: {2**40}\n", b"")
    assert b" 413 " in answer.split(b"\r\n", 1)[0]
    assert b"body_too_large" in answer


def test_two_lengths_in_one_request_are_no_request(server: Pixerve) -> None:
    head = head_of(server, "smuggler", "multipart/form-data; boundary=x")
    answer = raw(server, head + "Content-Length: 5\nContent-Length: 6\n", b"aaaaaa")
    assert b" 400 " in answer.split(b"\r\n", 1)[0]
