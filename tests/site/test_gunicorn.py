"""What the web server itself lets through, before any code of ours sees the request."""

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
    assert answer.status == 431
    assert b"header" in answer.body.lower()
    assert server.get("/livez").status == 200
