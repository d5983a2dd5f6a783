"""The clock on the wall is set: what was to happen at a time of the old one moves along.

When something is tried again is a time of day in a row, as another process may have to do it, or
this one after a restart. With a clock that was set back by ten minutes it would all come ten
minutes late; set forth, whoever holds a row would be taken for silent. Leases do not come into it:
their silence is measured, by each clerk for itself.
"""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from jobs import leases
from jobs.models import Callback, CallbackState, Delivery, DeliveryState, Job, StorageHealth
from jobs.states import State

log = logging.getLogger("pixerve.clerk")

# Less than the shortest wait that anybody would miss; slower changes are a clock that is corrected.
LEAST_S = 1.0

Seconds = Callable[[], float]


class Watch:
    """Sees whether the clock was set since it last looked; look every few seconds."""

    def __init__(self, wall: Seconds = time.time, measured: Seconds = time.monotonic) -> None:
        self._wall, self._measured = wall, measured
        self._apart = wall() - measured()

    def look(self) -> float:
        """By how many seconds it was set forth, or back (negative); 0.0 for not at all."""
        before, self._apart = self._apart, self._wall() - self._measured()
        jumped = self._apart - before
        return jumped if abs(jumped) >= LEAST_S else 0.0


class Follower:
    """Moves the rows along; a clerk calls `follow` before it does anything by the time."""

    def __init__(self, watch: Watch | None = None) -> None:
        self._watch = watch or Watch()
        self._jumped = 0.0

    def follow(self) -> None:
        """What the database does not take now, it is given the next time."""
        self._jumped += self._watch.look()
        if self._jumped:
            move(self._jumped, leases.here())
            self._jumped = 0.0


def move(seconds: float, host: str) -> None:
    """The clock was set by so many seconds: move the times of what is held by owners whose names
    begin with `host`, and of what would come late. Where hosts share the rows, some may come early.
    """
    log.warning("the clock was set by %+.1f s", seconds)
    moved = F("next_at") + timedelta(seconds=seconds)
    with transaction.atomic():
        # A worker's, too: what it does not send keeps its time and is the clerk's.
        for rows in (
            Callback.objects.filter(state=CallbackState.SENDING),
            Delivery.objects.filter(state=DeliveryState.SENDING),
        ):
            rows.filter(owner__startswith=host).update(next_at=moved)
        if seconds < 0:
            _bring_back(timedelta(seconds=seconds))


def _bring_back(step: timedelta) -> None:
    """All that is to come, sooner."""
    now = timezone.now()
    moved, seconds = F("next_at") + step, step.total_seconds()
    Callback.objects.filter(state=CallbackState.WAITING, next_at__gt=now).update(next_at=moved)
    Delivery.objects.filter(state=DeliveryState.WAITING, next_at__gt=now).update(next_at=moved)
    Job.objects.filter(state=State.PENDING, run_after__gt=now).update(
        run_after=F("run_after") + step
    )
    for name in ("opened_at", "trial_at"):
        later = StorageHealth.objects.filter(**{f"{name}__gt": now.timestamp()})
        later.update(**{name: F(name) + seconds})
