"""Somebody who asks `/health` all the time, and remembers how long he waited for an answer."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.server import Pixerve

EVERY_S = 0.1
PATIENCE_S = 10.0


class Prober:
    """`silences` are (when it began, how long), in monotonic seconds, one for each answer."""

    def __init__(self, server: Pixerve) -> None:
        self._server = server
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._asked: float | None = None
        self._silences: list[tuple[float, float]] = []

    def run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                self._asked = self._asked or time.monotonic()
            if self._answers():
                now = time.monotonic()
                with self._lock:
                    self._silences.append((self._asked, now - self._asked))
                    self._asked = None
            self._stop.wait(EVERY_S)

    def _answers(self) -> bool:
        try:
            return self._server.get("/health", timeout_s=PATIENCE_S).status == 200
        except OSError:
            return False

    def longest(self, since: float) -> float:
        """The longest wait for an answer since then, in seconds."""
        with self._lock:
            found = list(self._silences)
            if self._asked is not None:
                found.append((self._asked, time.monotonic() - self._asked))
        return max((began + long - max(began, since) for began, long in found), default=0.0)

    def stop(self) -> None:
        self._stop.set()


@contextmanager
def probed(server: Pixerve) -> Iterator[Prober]:
    prober = Prober(server)
    thread = threading.Thread(target=prober.run)
    thread.start()
    try:
        yield prober
    finally:
        prober.stop()
        thread.join()
