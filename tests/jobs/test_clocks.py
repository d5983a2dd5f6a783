"""The clock on the wall is set back or forth: what waits comes neither late nor twice."""

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from jobs import clocks
from jobs.clerk import Clerk
from jobs.clocks import Follower, Watch
from jobs.models import CallbackState, Delivery, DeliveryState, Job, StorageHealth
from tests.jobs.making import make_job, owe, picture, put_in_state

pytestmark = [pytest.mark.django_db, pytest.mark.sql]

BACK_S = -600.0


def test_a_clock_that_goes_on_was_not_set() -> None:
    readings = iter([100.0, 102.0, 104.5, 1704.5])
    measured = iter([0.0, 2.0, 4.0, 4.0])
    watch = Watch(lambda: next(readings), lambda: next(measured))
    assert [watch.look() for _ in range(3)] == [0.0, 0.0, 1600.0]


def _delivery(job: Job, **fields: object) -> Delivery:
    rendition = job.renditions.create(
        name="a", key="a", format="jpg", width=1, height=1, bytes=1, sha256="0"
    )
    return Delivery.objects.create(rendition=rendition, **fields)


def test_what_waits_comes_when_it_would_have_come() -> None:
    now = timezone.now()
    later, long_ago = now + timedelta(seconds=605), now - timedelta(hours=1)
    job = put_in_state(make_job(), "pending", run_after=later)
    delivery = _delivery(job, next_at=later)
    callbacks = [
        owe(make_job(content=picture(n)), next_at=at) for n, at in enumerate((later, long_ago))
    ]
    StorageHealth.objects.create(pk="s3", failures=5, opened_at=time.time() + 600, trial_at=1.0)

    clocks.move(BACK_S, "here/")

    for row in (job, delivery, *callbacks):
        row.refresh_from_db()
    soon = later + timedelta(seconds=BACK_S)
    assert job.run_after == delivery.next_at == callbacks[0].next_at == soon
    assert callbacks[1].next_at == long_ago
    health = StorageHealth.objects.get()
    assert health.opened_at == pytest.approx(time.time(), abs=5)
    assert health.trial_at == 1.0


@pytest.mark.parametrize("jump_s", [600.0, BACK_S])
def test_what_is_held_stays_held(jump_s: float) -> None:
    """Else it would be sent twice at once, or lie for long if its holder dies."""
    until = timezone.now() + timedelta(seconds=45)
    held = {"next_at": until, "owner": "here/1/1"}
    callback = owe(make_job(), state=CallbackState.SENDING, **held)
    delivery = _delivery(make_job(content=picture(1)), state=DeliveryState.SENDING, **held)
    other = owe(
        make_job(content=picture(2)), state=CallbackState.SENDING, next_at=until, owner="there/1/1"
    )

    clocks.move(jump_s, "here/")

    for row in (callback, delivery, other):
        row.refresh_from_db()
    assert callback.next_at == delivery.next_at == until + timedelta(seconds=jump_s)
    assert other.next_at == until


def test_the_clerk_follows_the_clock() -> None:
    """It sees the jump before it does anything by the new time."""
    wall = [time.time() - BACK_S]
    clerk = Clerk()
    clerk._clock = Follower(Watch(lambda: wall[0], lambda: 0.0))
    callback = owe(make_job(), next_at=timezone.now() + timedelta(seconds=700))
    wall[0] += BACK_S
    clerk.tick()
    callback.refresh_from_db()
    assert timedelta(seconds=90) < callback.next_at - timezone.now() < timedelta(seconds=101)
