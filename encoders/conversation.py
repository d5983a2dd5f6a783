"""One job's exchange with a child: a plan goes out, answers come in, both bounded."""

import json
import os
import selectors
import time
from collections.abc import Callable, Iterator
from typing import Any

from encoders.errors import PictureError
from encoders.plan import Plan, Rendition
from encoders.spawn import Child

_LINE_LIMIT = 1 << 20
_STDERR_KEPT = 4096
_CHUNK = 1 << 16


class ChildGoneError(Exception):
    """The child closed its pipe, or wrote what no child of ours writes."""


class Conversation:
    """One job's exchange with a child, bounded in time and in what is read."""

    def __init__(
        self,
        child: Child,
        timeout_s: float,
        on_beat: Callable[[], None] | None,
        beat_s: float,
    ) -> None:
        self._child = child
        self._on_beat = on_beat
        self._beat_s = beat_s
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._next_beat = time.monotonic() + beat_s
        self._stderr = b""

    @property
    def stderr_tail(self) -> str:
        """The last few KB that the child wrote to its standard error."""
        return self._stderr.decode(errors="replace").strip()

    def run(self, plan: Plan, on_rendition: Callable[[Rendition], None] | None) -> dict[str, Any]:
        """Send the plan; the final answer. Raises ChildGoneError or PictureError (timeout)."""
        self._send(json.dumps(plan.to_json()).encode() + b"\n")
        for line in self._lines():
            message = _parse(line)
            if "rendition" not in message:
                return message
            if on_rendition:
                on_rendition(_rendition(message["rendition"]))
        raise ChildGoneError

    def drain_stderr(self) -> None:
        """Read what is waiting on standard error; only the end of it is kept."""
        try:
            while chunk := os.read(self._child.errors_fd, _CHUNK):
                self._stderr = (self._stderr + chunk)[-_STDERR_KEPT:]
        except BlockingIOError:
            return

    def _send(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._child.jobs_fd, data) :]
        except BrokenPipeError as error:
            raise ChildGoneError from error

    def _lines(self) -> Iterator[bytes]:
        """Complete lines of the child as they come, until it closes the pipe."""
        buffered = b""
        # poll(2) and not epoll(7): nothing is set up in the kernel for what lasts for one job.
        with selectors.PollSelector() as selector:
            selector.register(self._child.answers_fd, selectors.EVENT_READ)
            selector.register(self._child.errors_fd, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select(self._patience())}
                self._keep_time()
                if self._child.errors_fd in ready:
                    self._take_stderr(selector)
                if self._child.answers_fd not in ready:
                    continue
                chunk = os.read(self._child.answers_fd, _CHUNK)
                *lines, buffered = (buffered + chunk).split(b"\n")
                yield from lines
                if not chunk or len(buffered) > _LINE_LIMIT:
                    return

    def _take_stderr(self, selector: selectors.BaseSelector) -> None:
        chunk = os.read(self._child.errors_fd, _CHUNK)
        self._stderr = (self._stderr + chunk)[-_STDERR_KEPT:]
        if not chunk:
            selector.unregister(self._child.errors_fd)

    def _patience(self) -> float:
        until = min(self._deadline, self._next_beat) if self._on_beat else self._deadline
        return max(0.0, until - time.monotonic())

    def _keep_time(self) -> None:
        now = time.monotonic()
        if now >= self._deadline:
            raise PictureError(
                "conversion_timeout", f"The conversion took longer than {self._timeout_s:g} s."
            )
        if self._on_beat and now >= self._next_beat:
            self._next_beat = now + self._beat_s
            self._on_beat()


def _parse(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except ValueError as error:
        raise ChildGoneError from error
    if not isinstance(message, dict):
        raise ChildGoneError
    return message


def _rendition(data: dict[str, Any]) -> Rendition:
    try:
        return Rendition(**data)
    except TypeError as error:
        raise ChildGoneError from error
