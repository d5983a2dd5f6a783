"""The rows of deliveries: planned with the renditions, noted after each try, and what ends the job.

The job's worker makes the first try of each while it holds the job's lease; what must be tried
again is the clerk's (`jobs.deliveries_due`). Whoever notes the last one ends the job, in the same
transaction, with the job's row locked: exactly one does.

An UPDATE here never joins tables. Django would put such a WHERE into a subquery, and PostgreSQL,
after it has waited for a row, judges only the conditions outside of it anew.
"""

import random
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from credentials import resolver
from delivery import retry
from delivery.backends.base import Stored
from delivery.carrier import Carried, Parcel
from delivery.destination import Destination
from delivery.errors import DeliveryError
from encoders import registry
from encoders.plan import ORIGINAL
from encoders.plan import Rendition as Made
from encoders.sniff import MEDIA_TYPES
from jobs import bells, outcomes, staging, storages
from jobs.leases import LeaseLost
from jobs.models import Delivery, DeliveryState, Job, Rendition
from jobs.spec import destinations_of
from jobs.states import Stage
from jobs.transitions import held

UNREADABLE = "credential_unreadable"
GIVEN_UP = DeliveryError("given_up", "the job failed before this file was sent", permanent=True)
POSTPONED_S = 10
UNDER_WAY = (DeliveryState.WAITING, DeliveryState.SENDING)


def of(job: Job) -> QuerySet[Delivery]:
    """The job's deliveries, by rendition."""
    mine = Rendition.objects.filter(job=job)
    return Delivery.objects.filter(rendition__in=mine).order_by("rendition_id", "id")


def source_of(job: Job, name: str) -> Path:
    """Where a rendition lies in staging until everything is delivered."""
    return staging.out_dir(job.uid, job.made_by) / name


def media_type(job: Job, format_name: str) -> str:
    """The media type of a rendition's format."""
    if format_name == ORIGINAL:
        return MEDIA_TYPES[job.source_format]
    return registry.media_type(format_name)


# --- the plan


def plan(job: Job, made: Sequence[Made], **about: Any) -> None:
    """Write renditions and deliveries in one transaction; from here on nothing is converted again.

    `about` is written to the job. What was already delivered of the same bytes stays. Raises
    LeaseLost.
    """
    with transaction.atomic():
        about |= {"stage": Stage.DELIVERING, "made_by": job.fence, "done": len(made)}
        if not held(job).update(updated_at=timezone.now(), **about):
            raise LeaseLost(str(job.uid))
        outcomes.write_renditions(job, _changed(job, made))
        _add_missing(job)
        _take_over(job)
    job.made_by = job.fence


def _changed(job: Job, made: Sequence[Made]) -> list[Made]:
    """Those that are not there yet with these bytes; rows of other bytes go with their
    deliveries."""
    # Those that a newer job has replaced meanwhile lie nowhere any more.
    job.renditions.filter(superseded=True).delete()
    there = dict(job.renditions.values_list("name", "sha256"))
    wanted = {each.name: each.sha256 for each in made}
    stale = [name for name, sha256 in there.items() if wanted.get(name) != sha256]
    job.renditions.filter(name__in=stale).delete()
    return [each for each in made if there.get(each.name) != each.sha256]


def _add_missing(job: Job) -> None:
    rows = [
        Delivery(rendition_id=pk, credential_type=kind, credential_key=key)
        for pk in job.renditions.order_by("id").values_list("pk", flat=True)
        for kind, key in destinations_of(job.spec["storageKeys"])
    ]
    Delivery.objects.bulk_create(rows, ignore_conflicts=True)


def resume(job: Job) -> bool:
    """Take over the deliveries of a job that was planned before; False where the renditions must
    be made anew. Raises LeaseLost, staging.Away."""
    if not job.made_by or not of(job).exists():
        return False
    needed = job.renditions if job.spec.get("directHost") else _undelivered(job)
    if not staging.has_made(job.uid, job.made_by, needed.values_list("name", flat=True)):
        return False
    with transaction.atomic():
        if not held(job).update(stage=Stage.DELIVERING, done=job.total, updated_at=timezone.now()):
            raise LeaseLost(str(job.uid))
        outcomes.supersede_others(job)
        _take_over(job)
    return True


def _take_over(job: Job) -> None:
    """Whoever was sending for a former claim can note nothing more: the fence is another."""
    of(job).filter(state__in=UNDER_WAY).order_by().update(
        state=DeliveryState.SENDING, owner=job.owner, fence=F("fence") + 1
    )


def _undelivered(job: Job) -> QuerySet[Rendition]:
    return job.renditions.filter(deliveries__state__in=UNDER_WAY).distinct()


def replay(job: Job) -> None:
    """Let those that failed be tried anew, with the whole schedule before them; and those whose
    files a newer job has replaced, as this one is the newest now.

    Who replays believes that the storages are well again, so their breakers are closed.
    """
    replaced = Rendition.objects.filter(job=job, superseded=True)
    missing = of(job).filter(~Q(state=DeliveryState.DELIVERED) | Q(rendition__in=replaced))
    missing = missing.order_by()
    storages.close(missing.values_list("credential_key", flat=True))
    missing.update(
        state=DeliveryState.WAITING,
        attempts=0,
        since=timezone.now(),
        next_at=timezone.now(),
        error_code="",
        error_message="",
        fence=F("fence") + 1,
        owner="",
    )


# --- one try


def destination(delivery: Delivery, subject: str) -> Destination:
    """Raises DeliveryError where the credential cannot be used any more."""
    kind, key = delivery.credential_type, delivery.credential_key
    try:
        return resolver.resolve(kind, key, subject=subject)
    except resolver.UnknownCredential as error:
        raise DeliveryError("unknown_storage_key", str(error), permanent=True) from None
    except resolver.Unreadable:
        message = "its secret was sealed with a key that is not in PIXERVE_CREDENTIAL_KEYS"
        raise DeliveryError(UNREADABLE, message, permanent=True) from None


def parcel(delivery: Delivery, job: Job, to: Destination, **how: bool) -> Parcel:
    """What the carrier needs of a delivery and its rendition; `how` as in Parcel."""
    made = delivery.rendition
    return Parcel(
        ident=delivery.pk,
        to=to,
        key=made.key,
        source=source_of(job, made.name),
        size=made.bytes,
        sha256=made.sha256,
        media_type=media_type(job, made.format),
        prepare=partial(staging.bring, job.uid, job.made_by, made.name, made.sha256),
        **how,
    )


def note(delivery: Delivery, carried: Carried) -> bool:
    """Write what came of one try; False where somebody else has taken it over."""
    number = delivery.attempts + 1
    rows = Delivery.objects.filter(
        pk=delivery.pk, fence=delivery.fence, state=DeliveryState.SENDING
    )
    changes = _after(number, carried) | {"attempts": number, "owner": ""}
    return bool(rows.update(updated_at=timezone.now(), **changes))


def postpone(delivery: Delivery, *, gone: bool) -> bool:
    """Its file could not be had: it waits, for a while unless the file is `gone` and made anew, and
    the store is not blamed. False where somebody else has taken it over."""
    rows = Delivery.objects.filter(
        pk=delivery.pk, fence=delivery.fence, state=DeliveryState.SENDING
    )
    now = timezone.now()
    waits = {"state": DeliveryState.WAITING, "owner": "", "updated_at": now}
    pause = timedelta(seconds=0 if gone else POSTPONED_S)
    return bool(rows.update(next_at=now + pause, **waits))


def _after(number: int, carried: Carried) -> dict[str, Any]:
    if carried.stored is not None:
        return _delivered(carried.stored)
    error = carried.error or GIVEN_UP
    changes: dict[str, Any] = {"error_code": error.code[:64], "error_message": error.message[:1000]}
    schedule = settings.PIXERVE.delivery_schedule
    decision = retry.decide(number, carried, schedule=schedule, jitter=random.random)
    if not decision.retry:
        return changes | {"state": DeliveryState.FAILED}
    next_at = timezone.now() + timedelta(seconds=decision.delay_s)
    return changes | {"state": DeliveryState.WAITING, "next_at": next_at}


def _delivered(stored: Stored) -> dict[str, Any]:
    return {
        "state": DeliveryState.DELIVERED,
        "delivered_at": timezone.now(),
        "bytes": stored.bytes,
        "checksum": stored.checksum,
        "url": stored.url or "",
        "error_code": "",
        "error_message": "",
    }


def fail(delivery: Delivery, error: DeliveryError) -> bool:
    """It could not even be tried, and never can be."""
    rows = Delivery.objects.filter(pk=delivery.pk, fence=delivery.fence, state__in=UNDER_WAY)
    return bool(_fail(rows, error))


def fail_all(job: Job, key: str, error: DeliveryError) -> None:
    """The same for all of a job's deliveries to one storage, by the worker that holds the job."""
    _fail(of(job).filter(credential_key=key, state__in=UNDER_WAY).order_by(), error)


def _fail(rows: QuerySet[Delivery], error: DeliveryError) -> int:
    return rows.update(
        state=DeliveryState.FAILED,
        error_code=error.code,
        error_message=error.message,
        owner="",
        updated_at=timezone.now(),
    )


# --- the end


def park(job: Job) -> None:
    """Give the lease back while deliveries wait: call it in the worker's last transaction. Ends the
    job where nothing is left to try. Raises LeaseLost."""
    if not held(job).update(owner="", updated_at=timezone.now()):
        raise LeaseLost(str(job.uid))
    rest = of(job).filter(state=DeliveryState.SENDING).order_by()
    rest.update(state=DeliveryState.WAITING, owner="", fence=F("fence") + 1)
    conclude(job)


def conclude(job: Job) -> None:
    """End the job if nothing is left to try. The caller's transaction has locked the job's row."""
    rows = list(of(job).select_related("rendition"))
    if any(each.state in UNDER_WAY for each in rows):
        transaction.on_commit(bells.clerk.ring, robust=True)
        return
    failed = [each for each in rows if each.state == DeliveryState.FAILED]
    told = [tell(each) for each in rows]
    lost = [each for each in failed if each.error_code == UNREADABLE]
    if lost:
        outcomes.fail(job, "credential_unreadable", _reason(lost), deliveries=told)
    elif failed:
        outcomes.fail(job, "delivery_failed", _reason(failed), deliveries=told)
    else:
        outcomes.complete_delivered(job, deliveries=told)


def _reason(failed: Sequence[Delivery]) -> str:
    """Each storage that failed, with its first reason."""
    first: dict[str, Delivery] = {}
    for each in failed:
        first.setdefault(each.credential_key, each)
    return "; ".join(
        f"{each.credential_type} {each.credential_key}: {each.error_code}: {each.error_message}"
        for each in first.values()
    )


def tell(delivery: Delivery) -> dict[str, Any]:
    """A delivery as callbacks show it."""
    made = delivery.rendition
    told: dict[str, Any] = {
        "name": made.name,
        "key": made.key,
        "type": delivery.credential_type,
        "storage_key": delivery.credential_key,
        "state": delivery.state,
        "bytes": delivery.bytes,
        "checksum": delivery.checksum or None,
        "url": delivery.url or None,
    }
    if delivery.error_code:
        told["error"] = {"code": delivery.error_code, "message": delivery.error_message}
    return told
