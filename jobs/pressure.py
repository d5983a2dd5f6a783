"""Back-pressure: whether another upload can be taken, asked before its body is read.

What was accepted comes first: room in staging is set aside for the bodies that come in at this
moment and for what the workers are making. Nothing here stops an upload because no worker runs;
only a queue that is older than `PIXERVE_MAX_QUEUE_AGE` does, where that is set.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.utils import timezone

from encoders import registry
from jobs import queue, staging
from jobs.errors import Unavailable
from jobs.models import Job
from jobs.spec import load
from jobs.spec_format import Output
from jobs.states import Stage, State

LOOK_EVERY_S = 1.0
RETRY_AFTER_S = 30
MOST_BYTES = 512 * 2**20  # of one output; the child may write no larger file
# Coarse, from above: bytes of a pixel in a file.
_BYTES_A_PIXEL = {"png": 4.0, "tiff": 4.0, "gif": 1.5}
_USUAL_BYTES_A_PIXEL = 1.0
_FRAME = 4096  # what a file has beside its pixels
_MOST_GROWTH = 20  # an output in the size of its source, against the bytes of the source


class Pressure:
    """What this process knows of the room that is needed and of the age of the queue."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._coming = 0
        self._looked = float("-inf")
        self._running = 0
        self._old = False

    @contextmanager
    def admitted(self, length: int, subject: str | None) -> Iterator[None]:
        """Set `length` bytes aside for the body of an upload while it comes in.

        Raises Unavailable, and OperationalError where the database is away.
        """
        running, old = self._look()
        # Who has nothing waiting is served next whatever the age of another's backlog.
        if old and (subject is None or queue.waits(subject)):
            raise Unavailable(
                "queue_too_old", "the queue is too long just now", retry_after=RETRY_AFTER_S
            )
        with self._lock:
            coming = self._coming = self._coming + length
        try:
            staging.require_room(running + coming)
            yield
        finally:
            with self._lock:
                self._coming -= length

    def _look(self) -> tuple[int, bool]:
        """Bytes that running jobs will need, and whether the queue is too old; looked up once a
        second, but the database is asked each time: a body that it cannot take is not read."""
        limit = settings.PIXERVE.max_queue_age
        if time.monotonic() < self._looked + LOOK_EVERY_S:
            queue.ask()
            return self._running, self._old
        oldest = queue.oldest_wait() if limit else None
        self._old = oldest is not None and (timezone.now() - oldest).total_seconds() > limit
        self._running = needed_bytes()
        self._looked = time.monotonic()
        return self._running, self._old


def needed_bytes() -> int:
    """What the jobs that are being converted will write to staging, at most."""
    converting = Job.objects.filter(state=State.PROCESSING, stage=Stage.CONVERTING)
    rows = converting.values_list("spec", "source_bytes")
    return sum(outputs_bytes(spec, source_bytes) for spec, source_bytes in rows)


def outputs_bytes(spec: dict[str, Any], source_bytes: int) -> int:
    """What a job with these instructions will write, at most and coarsely."""
    try:
        parsed = load(spec)
    except ValueError:  # its worker will find out; that is no reason to refuse others
        return 0
    found = source_bytes if parsed.keep_original else 0
    for name, each in parsed.formats.items():
        canonical = registry.canonical(name) or name
        for output in each.outputs:
            found += _output_bytes(canonical, output, source_bytes)
    return found


def _output_bytes(format_name: str, output: Output, source_bytes: int) -> int:
    most = [MOST_BYTES]
    if output.box is not None:
        width, height = output.box
        a_pixel = _BYTES_A_PIXEL.get(format_name, _USUAL_BYTES_A_PIXEL)
        most.append(int(width * height * a_pixel) + _FRAME)
    if output.box is None or not output.look.enlarge:
        most.append(_MOST_GROWTH * source_bytes + _FRAME)
    return min(most)


_pressure = Pressure()
admitted = _pressure.admitted
