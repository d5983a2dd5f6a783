"""Locks on files of the data folder that say what a living process is at; the kernel drops them
with it, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings


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
    """No job's folder is removed for the length of a `with`, by any process of this data folder.

    A file with a lock on it says so; the lock of a process that is killed goes with it.
    """
    path = _keeper()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(descriptor, 0o644)  # the server's user must see it, whoever makes the backup
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def is_kept() -> bool:
    """Whether somebody keeps staging as it is."""
    try:
        descriptor = os.open(_keeper(), os.O_RDONLY | os.O_CLOEXEC)
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
    return Path(settings.PIXERVE.data_dir) / "run" / "keep-staging"
