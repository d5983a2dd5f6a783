"""Sending deliveries: the worker's first round, and the clerk's postman for what is left.

Both hand parcels to a `delivery.carrier.Carrier`, a few to each storage, and note the results in
their own thread: the carrier's threads touch no database.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache

from django.conf import settings
from django.db import transaction

from delivery.addresses import AddressPolicy
from delivery.carrier import Carried, Carrier, Parcel, Unprepared
from delivery.destination import Destination
from delivery.errors import DeliveryError
from jobs import bells, cluster, deliveries, leases, outages, storages, transitions
from jobs.models import Delivery, DeliveryState, Job

log = logging.getLogger("pixerve.deliveries")

SIDE_BY_SIDE = 8  # of one job
THREADS = 16  # of the clerk
EACH_STORAGE = 4
LOOK_AHEAD = 200
LOOK_S = 0.5
NOTE_EVERY_S = 1.0
CLOSE_S = 15.0


def _carrier(threads: int, on_done: Callable[[], None] = lambda: None) -> Carrier:
    return Carrier(threads, AddressPolicy(settings.PIXERVE.callback_allow_private), on_done)


@cache
def _worker_carrier() -> Carrier:
    """One for all jobs of this worker process, so that opened stores serve several."""
    return _carrier(SIDE_BY_SIDE)


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


def _note(job: Job, delivery: Delivery, carried: Carried) -> None:
    """For the clerk, with the job's row locked."""
    if isinstance(carried.error, Unprepared):
        # A job that has an owner is being made anew already.
        if deliveries.postpone(delivery) and carried.error.gone and not job.owner:
            _make_anew(job)
    elif deliveries.note(delivery, carried):
        storages.note([carried])
        deliveries.conclude(job)


class _Bag:
    """The parcels that are on their way."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._running: dict[int, tuple[Delivery, Parcel]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def count(self) -> Counter[str]:
        """How many by the key of their storage."""
        return Counter(each.credential_key for each, _ in self._running.values())

    def send(self, delivery: Delivery, job: Job, to: Destination) -> None:
        parcel = deliveries.parcel(delivery, job, to)
        self._running[delivery.pk] = (delivery, parcel)
        self._carrier.send(parcel)

    def finished(self, timeout_s: float = 0.0) -> list[tuple[Delivery, Carried]]:
        """Those that ended by now; of a job that was lost in between nobody asks any more."""
        found = []
        for carried in self._carrier.finished(timeout_s):
            delivery, parcel = self._running.get(carried.parcel.ident, (None, None))
            if delivery is not None and parcel is carried.parcel:
                del self._running[delivery.pk]
                found.append((delivery, carried))
        return found


class FirstRound:
    """The first try of each delivery of a job, by the worker that holds its lease.

    A storage that fails once, or whose breaker is open, is left to the clerk: no worker waits for
    it again and again.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        mine = deliveries.of(job).filter(state=DeliveryState.SENDING).select_related("rendition")
        self._todo = deque(mine)
        self._bag = _Bag(_worker_carrier())
        self._troubled = storages.troubled()
        self._left: set[str] = set()  # keys of storages that are the clerk's now
        self._places: dict[str, Destination | None] = {}
        self._results: list[tuple[Delivery, Carried]] = []
        self._noted = time.monotonic()

    def start(self) -> None:
        """Send as many as may be sent at once."""
        if cluster.stopping():
            self._todo.clear()
        busy = self._bag.count()
        later: deque[Delivery] = deque()
        while self._todo and len(self._bag) < SIDE_BY_SIDE:
            delivery = self._todo.popleft()
            key = delivery.credential_key
            if busy[key] >= EACH_STORAGE:
                later.append(delivery)
            elif self._may_go(delivery):
                busy[key] += 1
        self._todo.extendleft(reversed(later))

    def _may_go(self, delivery: Delivery) -> bool:
        key = delivery.credential_key
        to = self._place(delivery)
        if to is None or key in self._left:
            return False
        if key in self._troubled and not storages.admit(key):
            self._left.add(key)
            return False
        self._bag.send(delivery, self._job, to)
        return True

    def _place(self, delivery: Delivery) -> Destination | None:
        key = delivery.credential_key
        if key not in self._places:
            try:
                self._places[key] = deliveries.destination(delivery, self._job.subject)
            except DeliveryError as error:
                self._places[key] = None
                deliveries.fail_all(self._job, key, error)
        return self._places[key]

    def see_through(self, beat: Callable[[], None]) -> None:
        """Until all have had their try. `beat` is called about twice a second."""
        while self._todo or self._bag:
            self.start()
            self._take(self._bag.finished(LOOK_S) if self._bag else [])
            beat()
            if self._results and time.monotonic() >= self._noted + NOTE_EVERY_S:
                with transaction.atomic():
                    self.note()

    def _take(self, found: list[tuple[Delivery, Carried]]) -> None:
        # One whose file is not at hand stays SENDING: with the end of this round it is the clerk's.
        self._results += [each for each in found if not isinstance(each[1].error, Unprepared)]
        self._left |= {
            delivery.credential_key
            for delivery, carried in found
            if not carried.ok and not carried.permanent
        }

    def note(self) -> None:
        """Write what came of those that ended; call it in a transaction."""
        for delivery, carried in self._results:
            deliveries.note(delivery, carried)
        storages.note([carried for _, carried in self._results])
        self._results = []
        self._noted = time.monotonic()


class Postman:
    """Sends what is due, for the clerk: a few to each storage, so that a slow one holds up only
    itself."""

    def __init__(self, threads: int = THREADS, each: int = EACH_STORAGE) -> None:
        self._threads = threads
        self._each = each
        self._carrier = _carrier(threads, on_done=bells.clerk.ring_here)
        self._bag = _Bag(self._carrier)
        self._ended: deque[tuple[Delivery, Carried]] = deque()
        self._owner = leases.myself()

    def send_due(self) -> int:
        """Note what ended and start what is due, as far as threads are free; returns how many."""
        self._write(self._bag.finished())
        if not deliveries.any_open():
            return 0
        deliveries.reclaim_orphans()
        busy = self._bag.count()
        full = {key for key, count in busy.items() if count >= self._each}
        troubled = storages.troubled()
        beyond = full | (storages.blocked() if troubled else set())
        started = 0
        for delivery in deliveries.due(beyond)[:LOOK_AHEAD]:
            if len(self._bag) >= self._threads:
                break
            key = delivery.credential_key
            if busy[key] < self._each and (key not in troubled or storages.admit(key)):
                sent = self._start(delivery)
                busy[key] += sent
                started += sent
        return started

    def _start(self, delivery: Delivery) -> bool:
        job = delivery.rendition.job
        if not deliveries.claim(delivery, self._owner):
            return False
        try:
            to = deliveries.destination(delivery, job.subject)
        except DeliveryError as error:
            with _alone(job) as locked:
                deliveries.fail(delivery, error)
                deliveries.conclude(locked)
            return False
        self._bag.send(delivery, job, to)
        return True

    def _write(self, found: Iterable[tuple[Delivery, Carried]]) -> None:
        """Note these; what a database that is away does not take now, it is given the next time."""
        self._ended.extend(found)
        while self._ended:
            delivery, carried = self._ended.popleft()
            try:
                with _alone(delivery.rendition.job) as job:
                    _note(job, delivery, carried)
            except outages.AWAY:
                self._ended.appendleft((delivery, carried))
                raise

    def close(self) -> None:
        """Wait a while for the uploads under way; what is cut is sent again by the next clerk."""
        end = time.monotonic() + CLOSE_S
        while self._bag and time.monotonic() < end:
            self._write(self._bag.finished(LOOK_S))
