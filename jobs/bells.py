"""Bells: one process tells another "look again" without a word about what.

A bell is a named pipe in the data folder, and with `PIXERVE_BROKER_URL` one on every other host.
Ringing never blocks for long and never fails: the job table is the truth, and whoever waits also
looks by himself every second or so. One listener per bell and host.
"""

import contextlib
import os
import select
from pathlib import Path
from types import ModuleType

from django.conf import settings


def others() -> ModuleType | None:
    """The bells of other hosts, where there are any; else Redis's client is not even loaded, which
    takes a tenth of a process's start and 6 MiB."""
    if settings.PIXERVE.broker_url is None:
        return None
    from jobs import far_bells  # noqa: PLC0415

    return far_bells


class Bell:
    """A named pipe below `{data_dir}/run`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._reader: tuple[int, int] | None = None

    @property
    def _path(self) -> Path:
        return Path(settings.PIXERVE.data_dir) / "run" / f"{self._name}.bell"

    def ring(self) -> None:
        """Wake the listeners, if there are any, on all hosts. Not for signal handlers."""
        self.ring_here()
        if far := others():
            far.ring(self._name)

    def ring_here(self) -> None:
        """Wake the listener on this host, if there is one."""
        with contextlib.suppress(OSError):  # nobody listens (ENXIO, ENOENT), or it rings already
            descriptor = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
            try:
                os.write(descriptor, b"!")
            finally:
                os.close(descriptor)

    def wait(self, timeout_s: float) -> bool:
        """Wait until the bell rings or the time is up; True if it rang."""
        if far := others():
            far.listen(self._name, self.ring_here)
        reader = self._open_reader()
        ready, _, _ = select.select([reader], [], [], timeout_s)
        if not ready:
            return False
        with contextlib.suppress(BlockingIOError):
            while len(os.read(reader, 4096)) == 4096:  # noqa: PLR2004 - the buffer's size
                pass
        return True

    def _open_reader(self) -> int:
        """Our end, opened for reading and writing so that it never sees an end of file."""
        if self._reader is None or self._reader[0] != os.getpid():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.mkfifo(self._path, 0o600)
            self._reader = (os.getpid(), os.open(self._path, os.O_RDWR | os.O_NONBLOCK))
        return self._reader[1]


def others_answer() -> bool | None:
    """Whether Redis, which brings the rings of other hosts, answers; None where there is none."""
    far = others()
    return far.answers() if far else None


queue = Bell("queue")  # web, replay → the cluster: a row became runnable
clerk = Bell("clerk")  # workers → the clerk: a callback became due
