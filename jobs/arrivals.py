"""Uploads on their way into the bucket that all hosts share, each with a row until it is a job.

The row is there before the first byte, and goes in the transaction that makes the job. So an object
that has neither a row here nor a job may be removed, however young it is; and whoever takes a row
away, because its owner is gone, can be sure that no job will ever need the object. No clock is
compared with another one.
"""

import uuid

from django.db.models import F

from jobs import leases
from jobs.models import Arrival

BEAT_S = 5.0


def announce(uid: uuid.UUID) -> None:
    """This process is going to put an upload there."""
    Arrival.objects.create(uid=uid, owner=leases.myself())


def beat(uid: uuid.UUID) -> bool:
    """Say that it is still at it. False where it was taken for gone."""
    return bool(Arrival.objects.filter(uid=uid).update(beat=F("beat") + 1))


def settle(uid: uuid.UUID) -> bool:
    """It becomes a job: call it in that transaction. False where it was taken for gone."""
    return bool(Arrival.objects.filter(uid=uid).delete()[0])


def withdraw(uid: uuid.UUID) -> None:
    """It becomes no job, and what was there of it is removed."""
    Arrival.objects.filter(uid=uid).delete()


class Lost:
    """Finds the arrivals whose process is gone."""

    def __init__(self, silent_s: float = leases.LEASE_S) -> None:
        self._silence = leases.Silence(silent_s)

    def take(self) -> list[uuid.UUID]:
        """Take their rows away: from here on no job can be made of these."""
        found = {each.uid: each for each in Arrival.objects.all()}
        gone = self._silence.gone({uid: (each.owner, each.beat) for uid, each in found.items()})
        return [uid for uid in gone if self._take(found[uid])]

    @staticmethod
    def _take(seen: Arrival) -> bool:
        # A transaction that is making its job holds the row: this waits for it, and finds nothing.
        return bool(Arrival.objects.filter(uid=seen.uid, beat=seen.beat).delete()[0])
