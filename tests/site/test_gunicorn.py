"""What the web server itself lets through, before any code of ours sees the request."""

import json
import socket
from http.client import HTTPResponse

import pytest

from tests.acceptance.evidence import QUICK_JOB, SMALL, another
from tests.server import Pixerve, make_token

MOST = 32 * 1024  # bytes of one header


def token_of(size: int) -> str:
    """A good token of about `size` bytes; claims that nobody knows make it long."""
    short = len(make_token(QUICK_JOB, padding=""))
    return make_token(QUICK_JOB, padding="x" * ((size - short) * 3 // 4))


@pytest.mark.parametrize("size", [9_000, 12_000, 15_000])
def test_a_long_token_is_taken(server: Pixerve, size: int) -> None:
    token = token_of(size)
    assert abs(len(token) - size) < 10
    answer = server.upload(another(SMALL, f"token of {size}"), token)
    assert answer.status == 202, answer.body


def test_a_token_that_is_too_long_is_refused_by_name(server: Pixerve) -> None:
    for size in (17_000, MOST - 1_000):
        answer = server.get("/status?hash=" + "0" * 64, token=token_of(size))
        assert (answer.status, answer.json()["code"]) == (401, "token_too_long")


@pytest.mark.parametrize("size", [MOST + 1_000, 100_000])
def test_a_header_beyond_all_limits_is_refused_as_such(server: Pixerve, size: int) -> None:
    answer = server.get("/status?hash=" + "0" * 64, token=token_of(size))
    assert (answer.status, answer.json()["code"]) == (431, "headers_too_large")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert server.get("/livez").status == 200


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414, "uri_too_long"),
        (b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 200 + b"\r\n", 431, "headers_too_large"),
        (b"GET / HTTP/9\r\n\r\n", 400, "malformed_request"),
        (b"GET\r\n\r\n", 400, "malformed_request"),
        (b"g<t / HTTP/1.1\r\n\r\n", 400, "malformed_request"),
        (b"GET / HTTP/1.1\r\nAuthorization: Bearer hu\0sh\r\n\r\n", 400, "malformed_request"),
        (b"GET / HTTP/1.1\r\nHost : hush\r\n\r\n", 400, "malformed_request"),
        (b"GET / HTTP/1.1\r\nContent-Length: hush\r\n\r\n", 400, "malformed_request"),
        (b"GET / HTTP/1.1\r\nExpect: hush\r\n\r\n", 417, "expectation_failed"),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip2\r\n\r\n",
            501,
            "unsupported_transfer_coding",
        ),
    ],
)
def test_a_head_that_cannot_be_read_is_a_problem_like_any_other(
    server: Pixerve, head: bytes, status: int, code: str
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head)
        answer = HTTPResponse(connection)
        answer.begin()
        body = json.loads(answer.read())
    assert (answer.status, body["status"], body["code"]) == (status, status, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "hush" not in str(body) + server.log


def test_what_nobody_reads_of_a_body_gets_no_second_answer(server: Pixerve) -> None:
    head = b"POST /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(head + b"no chunk\r\n\r\n")
        answered = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answered.startswith(b"HTTP/1.1 405 ")
    assert answered.count(b"HTTP/1.1 ") == 1
