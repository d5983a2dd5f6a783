"""Signals as notes: a handler says that something is to be done, and ends the sleep of who does it.

Standard library only, like all of the supervisor.
"""

import os
import select
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType

Wait = Callable[[float | None], None]


@contextmanager
def handling(handlers: Mapping[int, Callable[[], None]]) -> Iterator[Wait]:
    """Install signal handlers; yields a sleep (seconds, None: no limit) that any of them ends."""
    receiver, sender = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def wait(timeout_s: float | None) -> None:
        select.select([receiver], [], [], timeout_s)
        with suppress(BlockingIOError):
            os.read(receiver, 65536)

    def call(number: int, _frame: FrameType | None) -> None:
        handlers[number]()

    previous_fd = signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
    previous = {number: signal.signal(number, call) for number in handlers}
    try:
        yield wait
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_fd)
        os.close(receiver)
        os.close(sender)
