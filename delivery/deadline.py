"""One point in time by which a whole network exchange has ended, whatever the peer does."""

import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from threading import Lock, Thread, Timer
from types import TracebackType
from typing import Self, TypeVar

from delivery.errors import TimedOut

T = TypeVar("T")


class Deadline:
    """Cuts the watched socket when the time is up, so that a blocked read or write returns.

    A socket timeout alone bounds each read, not their sum: a peer that sends one byte now
    and then would hold the caller for ever. ``on_cut`` is called too when the time is up, in
    another thread. Use as a context manager.
    """

    def __init__(self, total_s: float, on_cut: Callable[[], None] | None = None) -> None:
        self._total_s = total_s
        self._ends = time.monotonic() + total_s
        self._lock = Lock()
        self._watched: socket.socket | None = None
        self._passed = False
        self._on_cut = on_cut
        self._timer = Timer(total_s, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self._watch(None)

    def remaining(self) -> float:
        """Seconds left, always above 0. Raises TimedOut."""
        left = self._ends - time.monotonic()
        if self._passed or left <= 0:
            raise self.error()
        return left

    @property
    def passed(self) -> bool:
        return self._passed or time.monotonic() >= self._ends

    def error(self) -> TimedOut:
        return TimedOut(f"not finished within {self._total_s:g} s")

    def watch(self, sock: socket.socket) -> None:
        """Cut this connection when the time is up. Raises TimedOut if it already is.

        A duplicate is kept, because TLS takes the original's file descriptor over.
        """
        self._watch(sock.dup())
        self.remaining()

    def _watch(self, sock: socket.socket | None) -> None:
        with self._lock:
            if self._watched is not None:
                self._watched.close()
            self._watched = sock

    def _cut(self) -> None:
        with self._lock:
            self._passed = True
            if self._watched is not None:
                with suppress(OSError):
                    self._watched.shutdown(socket.SHUT_RDWR)
        if self._on_cut is not None:
            self._on_cut()

    def run(self, call: Callable[[], T]) -> T:
        """The result of ``call``, which cannot be interrupted and is left behind when late.

        Raises TimedOut, or what ``call`` raises.
        """
        future: Future[T] = Future()
        Thread(target=_work, args=(call, future), daemon=True).start()
        try:
            return future.result(timeout=self.remaining())
        except TimeoutError:
            raise self.error() from None


def beside(work: Callable[[], T], beat: Callable[[], None], every_s: float = 0.5) -> T:
    """The result of ``work``, done in another thread; ``beat`` is called in this one meanwhile.

    Raises what either raises; after an error of ``beat`` the work is left behind.
    """
    future: Future[T] = Future()
    Thread(target=_work, args=(work, future), daemon=True).start()
    while not wait([future], every_s).done:
        beat()
    return future.result()


def _work(work: Callable[[], T], future: "Future[T]") -> None:
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)
