"""The bucket that all hosts share, where `PIXERVE_STAGING_URL` names one.

    {prefix}/staging/{uid}/…   as in the folder of `jobs.staging`
    {prefix}/hosted/{path}     the files below `/files/`; their rows say which of them there are

Opened buckets are kept for the next caller, one for each at a time.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings

from delivery.addresses import AddressPolicy
from delivery.carrier import Carrier, Parcel
from delivery.destination import Destination
from delivery.errors import DeliveryError

if TYPE_CHECKING:
    from delivery.backends.s3_bucket import Bucket

log = logging.getLogger("pixerve.bucket")

STAGING, HOSTED = "staging", "hosted"
REST_S = 2.0
IDLE_S = 20.0
SIDE_BY_SIDE = 4
_LOOK_S = 0.5

_idle: "deque[tuple[float, Bucket]]" = deque()  # since when (monotonic); the latest last
os.register_at_fork(after_in_child=_idle.clear)  # two processes on one connection mix answers up
_rest_until = 0.0


def in_use() -> bool:
    """Whether there is one."""
    return settings.PIXERVE.staging is not None


def destination() -> Destination:
    """How to reach it."""
    found = settings.PIXERVE.staging
    if found is None:
        raise RuntimeError("there is no PIXERVE_STAGING_URL")
    return found


def rests() -> bool:
    """Whether it failed a moment ago: who can wait need not find out again that it is away."""
    return time.monotonic() < _rest_until


def take() -> "Bucket":
    """The bucket, opened, for one thread; give it back, or `close` it after an error."""
    _forget_old()
    with suppress(IndexError):
        return _idle.pop()[1]
    from delivery.backends.s3_bucket import open_bucket  # noqa: PLC0415 - it loads boto3

    return open_bucket(destination())


def give_back(bucket: "Bucket") -> None:
    """Keep it for the next one."""
    _idle.append((time.monotonic(), bucket))


def _forget_old() -> None:
    """Hang up what was idle for long: the other end may have done so already."""
    with suppress(IndexError):
        while _idle[0][0] < time.monotonic() - IDLE_S:
            _idle.popleft()[1].close()


@contextmanager
def opened() -> Iterator["Bucket"]:
    """The bucket for the length of a `with`. Raises DeliveryError."""
    global _rest_until  # noqa: PLW0603 - one bucket, one state
    bucket = take()
    try:
        yield bucket
    except BaseException as error:
        bucket.close()
        if isinstance(error, DeliveryError):
            note(error)
        raise
    _rest_until = 0.0
    give_back(bucket)


def note(error: DeliveryError) -> None:
    """Remember that it failed, unless only an object was missing."""
    global _rest_until  # noqa: PLW0603 - one bucket, one state
    if error.code != "no_object":
        log.warning("the bucket: %s", error)
        _rest_until = time.monotonic() + REST_S


@cache
def _carrier() -> Carrier:
    """Of a worker process, whose main thread must beat meanwhile."""
    return Carrier(SIDE_BY_SIDE, AddressPolicy())


def put_all(parcels: Sequence[Parcel], beat: Callable[[], None]) -> None:
    """Bring all of them there, a few side by side; `beat` is called about twice a second.

    Raises the first DeliveryError, once all had their try, and what `beat` raises; then those that
    are not under way stay here.
    """
    carrier = _carrier()
    for parcel in parcels:
        carrier.send(parcel)
    ours = {id(parcel): parcel for parcel in parcels}
    failed: list[DeliveryError] = []
    try:
        while ours:
            for carried in carrier.finished(_LOOK_S):
                if ours.pop(id(carried.parcel), None):
                    failed += [carried.error] if carried.error else []
            beat()
    finally:
        carrier.write_off(ours.values())
    if failed:
        note(failed[0])
        raise failed[0]
