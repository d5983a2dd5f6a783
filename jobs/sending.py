"""Sending deliveries: the worker's first round; what is left is the postman's (`jobs.postman`).

Both hand parcels to a `delivery.carrier.Carrier`, a few to each storage, and note the results in
their own thread: the carrier's threads touch no database.
"""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from functools import cache
from typing import Self

from django.conf import settings
from django.db import transaction

from delivery.addresses import AddressPolicy
from delivery.carrier import Carried, Carrier, Parcel, Unprepared
from delivery.destination import Destination
from delivery.errors import DeliveryError
from jobs import cluster, deliveries, storages
from jobs.models import Delivery, DeliveryState, Job

log = logging.getLogger("pixerve.deliveries")

SIDE_BY_SIDE = 8  # of one job
EACH_STORAGE = 4
LOOK_S = 0.5
NOTE_EVERY_S = 1.0

# How long a worker waits for storages: for one file, for all of a job, and for how long the worker
# leaves to the clerk what goes to a storage that took longer. Both waits are longer by what the
# bytes take at the rate.
STALL_S = 5.0
ROUND_S = 20.0
SLOW_FOR_S = 60.0
SLOWEST_BYTES_PER_S = 1 << 20

_slow: dict[str, float] = {}  # storages by key, until when (monotonic)


def new_carrier(threads: int, on_done: Callable[[], None] = lambda: None) -> Carrier:
    """With the policy for hosts that users choose."""
    return Carrier(threads, AddressPolicy(settings.PIXERVE.callback_allow_private), on_done)


@cache
def _worker_carrier() -> Carrier:
    """One for all jobs of this worker process, so that opened stores serve several."""
    return new_carrier(SIDE_BY_SIDE)


class Bag:
    """The parcels that are on their way."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._running: dict[int, tuple[Delivery, Parcel, float]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def count(self) -> Counter[str]:
        """How many by the key of their storage."""
        return Counter(each.credential_key for each, _, _ in self._running.values())

    def send(self, delivery: Delivery, parcel: Parcel) -> None:
        self._running[delivery.pk] = (delivery, parcel, time.monotonic())
        self._carrier.send(parcel)

    def finished(self, timeout_s: float = 0.0) -> list[tuple[Delivery, Carried]]:
        """Those that ended by now; of a job that was lost in between nobody asks any more."""
        found = []
        for carried in self._carrier.finished(timeout_s):
            delivery, parcel, _ = self._running.get(carried.parcel.ident, (None, None, 0.0))
            if delivery is not None and parcel is carried.parcel:
                del self._running[delivery.pk]
                found.append((delivery, carried))
        return found

    def all(self) -> list[Delivery]:
        """Whose they are."""
        return [each for each, _, _ in self._running.values()]

    def late(self) -> list[Delivery]:
        """Those that take too long."""
        now = time.monotonic()
        return [
            delivery
            for delivery, parcel, since in self._running.values()
            if now - since > STALL_S + parcel.size / SLOWEST_BYTES_PER_S
        ]

    def write_off(self, keys: set[str]) -> None:
        """Wait no longer for what goes to these storages."""
        lost = [each for each, _, _ in self._running.values() if each.credential_key in keys]
        self._carrier.write_off([self._running.pop(each.pk)[1] for each in lost])


class FirstRound:
    """The first try of each delivery of a job, by the worker that holds its lease.

    A storage that fails once, did so before, or takes its time is left to the clerk: a worker
    waits a few seconds for it, and not again and again. Use it in `with`: the next job finds no
    thread that is still busy for a job that was lost.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        mine = deliveries.of(job).filter(state=DeliveryState.SENDING).select_related("rendition")
        self._todo = deque(mine)
        self._bag = Bag(_worker_carrier())
        now = time.monotonic()
        size = sum(each.rendition.bytes for each in self._todo)
        self._ends = now + ROUND_S + size / SLOWEST_BYTES_PER_S
        # keys of storages that are the clerk's
        self._left = {*storages.failing(), *(key for key, until in _slow.items() if now < until)}
        self._places: dict[str, Destination | None] = {}
        self._results: list[tuple[Delivery, Carried]] = []
        self._noted = now

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bag.write_off(set(self._bag.count()))

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
            elif key not in self._left and (to := self._place(delivery)):
                # Who held the job before may have been killed while it sent.
                again = self._job.fence > 1
                self._bag.send(delivery, deliveries.parcel(delivery, self._job, to, again=again))
                busy[key] += 1
        self._todo.extendleft(reversed(later))

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
            self._leave_slow()
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

    def _leave_slow(self) -> None:
        now = time.monotonic()
        late = {each.credential_key for each in self._bag.late()}
        self._bag.write_off(late)
        if now > self._ends:
            late |= {each.credential_key for each in self._todo}
        for key in late - self._left:
            log.warning("storage %s is slow; the clerk waits for it", key)
            _slow[key] = now + SLOW_FOR_S
        self._left |= late

    def note(self) -> None:
        """Write what came of those that ended; call it in a transaction."""
        for delivery, carried in self._results:
            deliveries.note(delivery, carried)
        storages.note([carried for _, carried in self._results])
        self._results = []
        self._noted = time.monotonic()
