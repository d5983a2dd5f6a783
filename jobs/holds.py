"""Locks that say what a living process is at: on files of the data folder, where the kernel drops
them with it, however it ends, and in PostgreSQL, which does so with its session."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection

from jobs import bucket, locks


class Hold:
    """Somebody brings the upload of this folder: until `release`, or until the process is gone.

    Raises BlockingIOError where another has it, OSError.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor: int | None = None
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Twice is fine."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        self.release()


@contextmanager
def unheld(folder: Path) -> Iterator[bool]:
    """Whether nobody brings this upload; then nobody can begin to for the length of the `with`."""
    try:
        hold = Hold(folder)
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        hold.release()


@contextmanager
def kept() -> Iterator[None]:
    """Nothing of a job is removed from staging for the length of a `with`, by any process of this
    data folder; where hosts share a bucket, by any process of theirs.

    A file with a lock on it says so, and a lock in PostgreSQL; both go with who is killed.
    """
    path = _keeper()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(descriptor, 0o644)  # the server's user must see it, whoever makes the backup
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with locks.alone(locks.Lock.STAGING):
            yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def is_kept() -> bool:
    """Whether somebody keeps staging as it is. Ask after the commit of what makes it useless:
    whoever keeps staging first and reads the job table then finds what each job needs."""
    if bucket.in_use() and connection.vendor == "postgresql":
        try:
            return locks.is_held(locks.Lock.STAGING)
        except DatabaseError:  # the next sweep knows
            return True
    return _is_locked(_keeper())


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _keeper() -> Path:
    return _keeper_in(settings.PIXERVE.data_dir)


@cache
def _keeper_in(data_dir: Path) -> Path:
    return data_dir / "run" / "keep-staging"
