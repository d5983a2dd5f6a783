"""Memory that all converters of a machine share: a job waits until its share is free.

The budget is a file in which byte *i* stands for the *i*-th unit of 64 MiB. Who uses a unit holds
a lock on its byte. Nothing is ever written: locks are all there is, and the kernel drops those of
a process that ends, however it ends.
"""

import fcntl
import math
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from encoders.errors import PictureError

UNIT_BYTES = 64 << 20
LEAST_MB = 256
"""Less would not do for an ordinary photo."""
_MIB = 1 << 20
_SHARE = 0.6
_LOOK_AGAIN_S = 0.05
_TURNSTILE = 1 << 40
"""A byte far behind all units: only who holds it may collect, so a large job is not overtaken for
ever by small ones, and two that each have half of what they need cannot block each other."""


@dataclass(frozen=True)
class Budget:
    """``total_bytes`` for all who share the file at ``path``, whose folder must exist."""

    path: Path
    total_bytes: int

    @contextmanager
    def reserve(self, needed_bytes: int, on_wait: Callable[[], None]) -> Iterator[None]:
        """Hold ``needed_bytes`` for the length of a ``with``.

        While they are not free ``on_wait`` is called many times a second; what it raises ends the
        waiting. Raises PictureError out_of_memory for more than there will ever be.
        """
        if needed_bytes > self.total_bytes:
            raise PictureError(
                "out_of_memory",
                f"The conversion needs about {needed_bytes // _MIB} MiB of memory; "
                f"this server may use {self.total_bytes // _MIB} MiB for all conversions.",
            )
        # A descriptor of its own: such locks belong to what was opened, not to the process.
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._collect(descriptor, math.ceil(needed_bytes / UNIT_BYTES), on_wait)
            yield
        finally:
            os.close(descriptor)

    def _collect(self, descriptor: int, wanted: int, on_wait: Callable[[], None]) -> None:
        _wait(lambda: _lock(descriptor, _TURNSTILE), on_wait)
        free = set(range(max(1, self.total_bytes // UNIT_BYTES)))
        wanted = min(wanted, len(free))
        held: set[int] = set()

        def enough() -> bool:
            for unit in sorted(free - held):
                if len(held) < wanted and _lock(descriptor, unit):
                    held.add(unit)
            return len(held) == wanted

        _wait(enough, on_wait)
        _lock(descriptor, _TURNSTILE, fcntl.F_UNLCK)


def default_budget_mb() -> int:
    """60 % of the memory that this machine, or this container, has, at least the least: MiB."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(LEAST_MB, int(min([physical, *_cgroup_limits()]) * _SHARE) // _MIB)


def _cgroup_limits() -> Iterator[int]:
    """Of the process's own group as a container sees it: version 2, then version 1."""
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal():
            yield int(text)


def _wait(done: Callable[[], bool], on_wait: Callable[[], None]) -> None:
    while not done():
        on_wait()
        time.sleep(_LOOK_AGAIN_S)


def _lock(descriptor: int, byte: int, kind: int = fcntl.F_WRLCK) -> bool:
    """Lock (or unlock) one byte; False where another holds it (struct flock of fcntl(2))."""
    request = struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, 1, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)
    except BlockingIOError:
        return False
    return True
