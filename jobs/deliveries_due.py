"""What the clerk asks of the rows of deliveries: which to send now, which nobody sends any more.

The verbs are conditional UPDATEs that raise the row's fence, so that whoever sent before can note
nothing more.
"""

from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from delivery.errors import DeliveryError
from jobs import deliveries, leases
from jobs.deliveries import UNDER_WAY
from jobs.models import Delivery, DeliveryState, Job, Rendition, StorageHealth
from jobs.states import Stage, State

HELD_S = 45  # a clerk on another host that says nothing for so long is taken for gone

_PARKED = Q(rendition__job__state=State.PROCESSING, rendition__job__stage=Stage.DELIVERING)
_OVER = Q(rendition__job__state__in=[State.FAILED, State.CANCELLED])


def any_open() -> bool:
    """Whether anything is on its way or waits: one cheap question for a clerk that has nothing to
    do."""
    return Delivery.objects.filter(state__in=UNDER_WAY).exists()


def due(beyond: Iterable[str] = ()) -> QuerySet[Delivery]:
    """What the clerk may send now, that of credentials in `beyond` aside.

    Those of a clerk that was silent for too long are among them, and those of a job that failed, or
    was put back and cancelled, before all were sent: these are only cleaned up. Those of a job that
    a worker holds never are.
    """
    rows = Delivery.objects.filter(state__in=UNDER_WAY, next_at__lte=timezone.now())
    return (
        rows.filter(_PARKED | _OVER, rendition__job__owner="")
        .exclude(credential_key__in=list(beyond))
        .select_related("rendition__job")
        .order_by("next_at")
    )


def _unheld() -> QuerySet[Rendition]:
    """Those of jobs that no worker holds. No join, for the reason that `jobs.deliveries` gives."""
    return Rendition.objects.filter(job__owner="")


def claim(delivery: Delivery, owner: str) -> bool:
    """Make `owner` the only sender of this row."""
    rows = Delivery.objects.filter(pk=delivery.pk, state=delivery.state, fence=delivery.fence)
    state = delivery.rendition.job.state
    taken = rows.filter(rendition__in=_unheld().filter(job__state=state)).update(
        state=DeliveryState.SENDING,
        owner=owner,
        fence=F("fence") + 1,
        next_at=timezone.now() + timedelta(seconds=HELD_S),
    )
    delivery.fence += taken
    return bool(taken)


def hold(found: Iterable[Delivery], owner: str) -> int:
    """Say that `owner` is still at these; how many are still his."""
    mine = Delivery.objects.filter(pk__in=[each.pk for each in found], owner=owner)
    held_until = timezone.now() + timedelta(seconds=HELD_S)
    return mine.filter(state=DeliveryState.SENDING).update(next_at=held_until)


def reclaim_orphans() -> int:
    """Make those wait again whose clerk died on this host."""
    sending = Delivery.objects.filter(state=DeliveryState.SENDING, rendition__in=_unheld())
    owners = set(sending.values_list("owner", flat=True))
    dead = [owner for owner in owners if leases.is_dead(owner)]
    return sending.filter(owner__in=dead).update(
        state=DeliveryState.WAITING, owner="", next_at=timezone.now(), fence=F("fence") + 1
    )


# --- too late


def _expired() -> QuerySet[Delivery]:
    oldest = timezone.now() - timedelta(seconds=settings.PIXERVE.delivery_max_age)
    return Delivery.objects.filter(state=DeliveryState.WAITING, since__lte=oldest)


def jobs_too_late() -> QuerySet[Job]:
    """Parked jobs with deliveries that waited longer than `PIXERVE_DELIVERY_MAX_AGE`."""
    late = _expired().filter(_PARKED, rendition__job__owner="")
    return Job.objects.filter(pk__in=late.values("rendition__job"))


def expire(job: Job) -> None:
    """Fail those that waited too long. The caller's transaction has locked the job's row."""
    for delivery in _expired().filter(rendition__job=job):
        age = settings.PIXERVE.delivery_max_age
        message = (
            f"not delivered within {_in_words(age)}, {_last_trouble(delivery)}; mend the storage, "
            "then replay the job"
        )
        deliveries.fail(delivery, DeliveryError("delivery_expired", message, permanent=True))


def _last_trouble(delivery: Delivery) -> str:
    """The delivery's own, or that which let the storage be left alone."""
    if delivery.error_code:
        return f"last {delivery.error_code}: {delivery.error_message}"
    health = StorageHealth.objects.filter(pk=delivery.credential_key).first()
    if health and health.last_error_code:
        return f"last {health.last_error_code}: {health.last_error_message}"
    return "and never tried"


def _in_words(seconds: int) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
