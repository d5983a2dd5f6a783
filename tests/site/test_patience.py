"""A client that says nothing, or next to nothing, does not keep a thread."""

import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from pixerve_site import patience
from pixerve_site.patience import Watch
from tests.server import Pixerve, running, wait_for

HEAD = b"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def test_a_connection_is_cut_when_its_time_is_up() -> None:
    watch = Watch()
    ours, theirs = socket.socketpair()
    with ours, theirs, watch.limited(ours, 0.0):
        watch.cut_late()
        assert ours.recv(1) == b""


@pytest.mark.parametrize("how", ["in time", "released", "over"])
def test_a_connection_with_time_left_is_not(how: str) -> None:
    watch = Watch()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with watch.limited(ours, 60.0 if how == "in time" else 0.0):
            if how == "released":
                watch.release(ours)
            if how != "over":
                watch.cut_late()
        watch.cut_late()
        theirs.sendall(b"x")
        assert ours.recv(1) == b"x"


def test_peers_that_do_not_hang_up_hold_up_nobody(server: Pixerve) -> None:
    lazy = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(8)]
    try:
        for each in lazy:
            each.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert each.recv(100).startswith(b"HTTP/1.1 200")
        started = time.monotonic()
        assert server.get("/livez").status == 200
        assert time.monotonic() - started < patience.HANG_UP_S
    finally:
        for each in lazy:
            each.close()


def test_the_rest_of_what_a_peer_sends_is_taken_before_the_end() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"x" * 100_000)
        theirs.shutdown(socket.SHUT_WR)
        patience.hang_up(ours)
        assert theirs.recv(1) == b""
        assert ours.recv(1) == b""


def test_beginnings_without_end_do_not_stop_the_service(tmp_path: Path) -> None:
    beginnings = [b"GET / HT", HEAD]
    with (
        running(tmp_path, PIXERVE_WEB_THREADS=str(len(beginnings))) as server,
        ExitStack() as open_,
    ):
        stalled = [_connection(server, begun) for begun in beginnings]
        for each in stalled:
            open_.enter_context(each)
        started = time.monotonic()
        for path in ("/health", "/livez", "/healthz"):
            assert server.get(path).status == 200
        assert time.monotonic() - started < 1.0, "they had to wait for a thread"
        wait_for(lambda: _answers(server), within_s=4 * patience.HEAD_S, what="an answer")
        assert time.monotonic() - started > patience.HEAD_S / 2, "they never held the threads"
        # Each of them was cut: one thread alone would give that answer, too.
        assert [each.recv(1) for each in stalled] == [b"", b""]


def _connection(server: Pixerve, begun: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=patience.HEAD_S)
    connection.sendall(begun)
    return connection


def _answers(server: Pixerve) -> bool:
    try:
        return server.get("/version", timeout_s=1.0).status == 200
    except OSError:
        return False
