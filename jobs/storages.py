"""How the storages are: a circuit breaker per credential, shared by all processes through its row.

The breaker itself is data of `delivery.breaker`; here it is read, written and shown.
"""

import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from delivery import breaker
from delivery.breaker import Breaker
from delivery.carrier import Carried
from jobs.models import StorageHealth

# A busy storage succeeds many times a second; who looks at it cares for minutes.
SUCCESS_NOTED_EVERY = timedelta(seconds=15)


def breaker_of(row: StorageHealth) -> Breaker:
    return Breaker(row.failures, row.opened_at, row.trial_at)


def failing() -> dict[str, Breaker]:
    """The breakers of the storages whose last delivery failed for a reason that can pass."""
    return {row.pk: breaker_of(row) for row in StorageHealth.objects.filter(failures__gt=0)}


def blocked(found: Mapping[str, Breaker]) -> set[str]:
    """The keys of those that must not be tried now."""
    now = time.time()
    return {key for key, each in found.items() if not breaker.may_try(each, now)}


def admit(key: str) -> bool:
    """Whether a delivery may be sent to `key` now; behind an open breaker, one trial at a time."""
    with transaction.atomic():
        row = StorageHealth.objects.select_for_update().filter(pk=key).first()
        now = time.time()
        if row is None or row.opened_at is None:
            return True
        if not breaker.may_try(breaker_of(row), now):
            return False
        _save(row, breaker.started(breaker_of(row), now))
    return True


def untried(key: str) -> None:
    """What was admitted could not be sent: the next one is the trial."""
    StorageHealth.objects.filter(pk=key, trial_at__isnull=False).update(trial_at=None)


def close(keys: Iterable[str]) -> None:
    """Let these be tried at once. Rows are locked in the order of `note`."""
    for key in sorted(set(keys)):
        StorageHealth.objects.filter(pk=key).update(**vars(breaker.CLOSED))


def note(carried: Iterable[Carried]) -> None:
    """Remember how these went; call it in the transaction that notes the deliveries.

    Rows are locked in the order of their keys, so that no two callers wait for each other.
    """
    by_key: dict[str, list[Carried]] = {}
    for each in carried:
        by_key.setdefault(each.parcel.to.key, []).append(each)
    for key in sorted(by_key):
        failed = [each for each in by_key[key] if not each.ok]
        for each in failed:
            _note_failure(each)
        if len(failed) < len(by_key[key]):
            _note_success(key)


def _note_success(key: str) -> None:
    now = timezone.now()
    row = StorageHealth.objects.filter(pk=key).first()
    fresh = row and row.last_success_at and row.last_success_at > now - SUCCESS_NOTED_EVERY
    if row is None or not fresh or breaker_of(row) != breaker.CLOSED:
        calm = vars(breaker.succeeded())
        StorageHealth.objects.update_or_create(pk=key, defaults={**calm, "last_success_at": now})


def _note_failure(carried: Carried) -> None:
    """A store that refuses us for good answers: its other deliveries may know that at once, too."""
    error = carried.error
    assert error is not None  # noqa: S101 - for the type checker
    StorageHealth.objects.get_or_create(pk=carried.parcel.to.key)
    row = StorageHealth.objects.select_for_update().get(pk=carried.parcel.to.key)
    row.last_error_at = timezone.now()
    row.last_error_code, row.last_error_message = error.code[:64], error.message
    before = breaker_of(row)
    _save(row, breaker.CLOSED if error.permanent else breaker.failed(before, time.time()))


def _save(row: StorageHealth, after: Breaker) -> None:
    row.failures, row.opened_at, row.trial_at = after.failures, after.opened_at, after.trial_at
    row.save()


def describe() -> dict[str, dict[str, Any]]:
    """Each storage that was delivered to, for staff, by its credential's key."""
    now = time.time()
    return {
        row.pk: {
            "breaker": breaker.state(breaker_of(row), now),
            "failures": row.failures,
            "last_success": row.last_success_at and row.last_success_at.isoformat(),
            "last_error": row.last_error_at
            and {
                "at": row.last_error_at.isoformat(),
                "code": row.last_error_code,
                "message": row.last_error_message,
            },
        }
        for row in StorageHealth.objects.order_by("pk")
    }
