"""Bells: a ring wakes the one who waits, and never harms the one who rings."""

import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings

from jobs.bells import Bell


@pytest.fixture
def bell() -> Bell:
    return Bell("test")


def path() -> Path:
    return Path(settings.PIXERVE.data_dir) / "run" / "test.bell"


def test_nobody_listens(bell: Bell) -> None:
    bell.ring()
    assert not path().exists()


def test_a_ring_wakes(bell: Bell) -> None:
    assert bell.wait(0) is False
    ringer = threading.Timer(0.05, Bell("test").ring)
    ringer.start()
    assert bell.wait(20) is True
    ringer.join()


def test_a_ring_before_the_wait_is_heard(bell: Bell) -> None:
    bell.wait(0)
    Bell("test").ring()
    assert bell.wait(20) is True


def test_many_rings_are_one(bell: Bell) -> None:
    bell.wait(0)
    for _ in range(100):
        Bell("test").ring()
    assert bell.wait(20) is True
    assert bell.wait(0) is False


def test_ringing_never_blocks_and_never_fails(bell: Bell) -> None:
    bell.wait(0)
    with path().open("rb+", buffering=0) as pipe:
        holds = fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
        ringer = Bell("test")
        started = time.monotonic()
        for _ in range(holds + 100):
            ringer.ring()
    assert time.monotonic() - started < 60
    assert bell.wait(20) is True
    assert bell.wait(0) is False


def test_the_time_is_up(bell: Bell) -> None:
    started = time.monotonic()
    assert bell.wait(0.2) is False
    assert time.monotonic() - started >= 0.2


def test_the_listener_died(bell: Bell) -> None:
    path().parent.mkdir(parents=True)
    os.mkfifo(path())
    bell.ring()


def test_the_pipe_is_private(bell: Bell) -> None:
    bell.wait(0)
    assert path().stat().st_mode & 0o777 == 0o600
    assert path().parent.stat().st_mode & 0o777 == 0o700


def test_a_fork_listens_for_itself(bell: Bell, configure: Callable[..., None]) -> None:
    bell.wait(0)
    before = bell._open_reader()
    child = os.fork()
    if child == 0:
        os._exit(0 if bell._open_reader() != before else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
