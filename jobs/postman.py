"""The clerk's sending of deliveries: all that the first round of a worker left, when it is due."""

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db import transaction

from delivery.carrier import Carried, Unprepared
from delivery.errors import DeliveryError
from jobs import bells, deliveries, deliveries_due, leases, outages, storages, transitions
from jobs.models import Delivery, Job
from jobs.sending import EACH_STORAGE, LOOK_S, Bag, new_carrier
from jobs.states import State

log = logging.getLogger("pixerve.deliveries")

THREADS = 16
MOST_THREADS = 64
LOOK_AHEAD = 200
CLOSE_S = 15.0
HOLD_EVERY_S = 15.0


@contextmanager
def _alone(job: Job) -> Iterator[Job]:
    """A transaction with the job's row locked: whoever notes the last delivery sees that it is the
    last."""
    with transaction.atomic():
        yield Job.objects.select_for_update().get(pk=job.pk)


def _make_anew(job: Job) -> None:
    """Staging lost the renditions: back to the queue, to be converted again."""
    if transitions.put_back(job):
        log.warning("job %s: its renditions are gone from staging; making them anew", job.uid)
        bells.queue.ring()


class Postman:
    """Sends what is due, for the clerk: a few to each storage, so that a slow one holds up only
    itself, and one at a time to a storage that fails.

    `threads` at a time; those that take long do not count, so that not even several storages that
    hang hold up the others.
    """

    def __init__(self, threads: int = THREADS, each: int = EACH_STORAGE) -> None:
        self._threads = threads
        self._each = each
        self._carrier = new_carrier(MOST_THREADS, on_done=bells.clerk.ring_here)
        self._bag = Bag(self._carrier)
        self._ended: deque[tuple[Delivery, Carried]] = deque()
        self._owner = leases.myself()
        self._next_hold = 0.0

    def send_due(self) -> int:
        """Note what ended and start what is due, as far as threads are free; returns how many."""
        self._write(self._bag.finished())
        self._hold()
        if not deliveries_due.any_open():
            return 0
        deliveries_due.reclaim_orphans()
        self._give_up_late()
        failing = storages.failing()
        busy = self._bag.count()

        def is_full(key: str) -> bool:
            return busy[key] >= (1 if key in failing else self._each)

        started = 0
        beyond = {key for key in busy if is_full(key)} | storages.blocked(failing)
        free = min(self._threads + len(self._bag.late()), MOST_THREADS) - len(self._bag)
        for delivery in deliveries_due.due(beyond)[:LOOK_AHEAD]:
            if started >= free:
                break
            key = delivery.credential_key
            if not is_full(key) and (key not in failing or storages.admit(key)):
                sent = self._start(delivery)
                busy[key] += sent
                started += sent
        return started

    def _hold(self) -> None:
        """A clerk on another host cannot see whether this one lives."""
        if self._bag and time.monotonic() >= self._next_hold:
            self._next_hold = time.monotonic() + HOLD_EVERY_S
            deliveries_due.hold(self._bag.all(), self._owner)

    def _give_up_late(self) -> None:
        for job in deliveries_due.jobs_too_late()[:LOOK_AHEAD]:
            with _alone(job) as locked:
                deliveries_due.expire(locked)
                deliveries.conclude(locked)

    def _start(self, delivery: Delivery) -> bool:
        job = delivery.rendition.job
        given_up = job.state != State.PROCESSING
        if not deliveries_due.claim(delivery, self._owner):
            return False
        try:
            to = deliveries.destination(delivery, job.subject)
        except DeliveryError as error:
            with _alone(job) as locked:
                deliveries.fail(delivery, error)
                deliveries.conclude(locked)
            return False
        parcel = deliveries.parcel(delivery, job, to, again=True, given_up=given_up)
        self._bag.send(delivery, parcel)
        return True

    def _write(self, found: Iterable[tuple[Delivery, Carried]]) -> None:
        """Note these; what a database that is away does not take now, it is given the next time."""
        self._ended.extend(found)
        while self._ended:
            delivery, carried = self._ended.popleft()
            try:
                self._note(delivery, carried)
            except outages.AWAY:
                self._ended.appendleft((delivery, carried))
                raise

    def _note(self, delivery: Delivery, carried: Carried) -> None:
        with _alone(delivery.rendition.job) as job:
            if isinstance(carried.error, Unprepared):
                storages.untried(delivery.credential_key)
                gone = carried.error.gone
                # A job that has an owner is being made anew already.
                if deliveries.postpone(delivery, gone=gone) and gone and not job.owner:
                    _make_anew(job)
            elif deliveries.note(delivery, carried):
                if carried.stored or carried.error:
                    storages.note([carried])
                deliveries.conclude(job)

    def close(self) -> None:
        """Wait a while for the uploads under way; what is cut is sent again by the next clerk."""
        end = time.monotonic() + CLOSE_S
        while self._bag and time.monotonic() < end:
            self._write(self._bag.finished(LOOK_S))
