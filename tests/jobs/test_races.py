"""Two at once on PostgreSQL, where transactions run side by side: each order that hurts, forced.

One side stops in the middle of its transaction, the other is seen to wait for it (or not to), then
the first one commits. SQLite has one writer at a time, so none of these orders exists there.
"""

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django_q.models import Schedule
from pydantic import SecretStr

from delivery.destination import Destination
from jobs import (
    arrivals,
    callbacks,
    deliveries_due,
    holds,
    intake,
    leases,
    lifecycle,
    locks,
    outages,
    outcomes,
    retention,
    spec,
    staging,
    sweeping,
    transitions,
)
from jobs.api.problems import refusal_of
from jobs.errors import Conflict, Gone
from jobs.leases import LeaseLost
from jobs.models import (
    Callback,
    CallbackState,
    Delivery,
    DeliveryState,
    Event,
    Job,
    Reference,
    Rendition,
    Success,
)
from jobs.outcomes import Product
from jobs.states import Stage, State
from pixerve_site import first_run
from tests.jobs.making import SMALL_JOB, claim, make_job, owe, picture, put_in_state, stage
from tests.server import wait_for

pytestmark = [
    pytest.mark.sql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time"),
]

MANY = 12  # more at once than an upload has tries


@pytest.fixture
def others() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(MANY) as pool:
        yield pool


def beside(pool: ThreadPoolExecutor, act: Callable[[], Any]) -> "Future[Any]":
    """Let `act` happen in a thread with a connection of its own."""

    def closing() -> Any:
        try:
            return act()
        finally:
            connection.close()

    return pool.submit(closing)


def wait_until_waiting(count: int = 1) -> None:
    """Until so many sessions of this database wait for a lock."""

    def look() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")  # a transaction keeps its first look
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return bool(cursor.fetchone()[0] == count)

    wait_for(look, within_s=15, what=f"{count} waiting for a lock")


def planned(subject: str = "alice") -> Delivery:
    """A delivery that is due, of a job that nobody holds."""
    job = put_in_state(make_job(subject), State.PROCESSING, stage=Stage.DELIVERING)
    made = {"width": 1, "height": 1, "bytes": 1, "sha256": "0" * 64, "format": "jpg"}
    rendition = Rendition.objects.create(job=job, name="a", key="a", **made)
    return Delivery.objects.create(
        rendition=rendition, credential_type="local", credential_key="k", state="waiting"
    )


# The queue


def test_a_claim_steps_over_a_row_that_somebody_else_has(others: ThreadPoolExecutor) -> None:
    first, second = make_job("alice", picture(1)), make_job("alice", picture(2))
    with transaction.atomic():
        lifecycle.cancel(first)
        claimed = beside(others, lambda: transitions.claim_best("one")).result(20)
        assert claimed.pk == second.pk
    assert transitions.claim_best("two") is None


def test_who_cancels_beside_a_claim_comes_too_late(others: ThreadPoolExecutor) -> None:
    job = make_job()
    with transaction.atomic():
        claim()
        cancelled = beside(others, lambda: lifecycle.cancel(job))
        wait_until_waiting()
    with pytest.raises(Conflict):
        cancelled.result(20)
    assert (Job.objects.get().state, Event.objects.count()) == (State.PROCESSING, 0)


def test_who_finishes_beside_the_reaper_writes_nothing(others: ThreadPoolExecutor) -> None:
    make_job()
    job = claim()
    with transaction.atomic():
        assert transitions.put_back(Job.objects.get())
        finished = beside(others, lambda: outcomes.complete(job, Product(renditions=())))
        wait_until_waiting()
    with pytest.raises(LeaseLost):
        finished.result(20)
    assert (Success.objects.count(), Event.objects.count()) == (0, 0)
    assert Job.objects.get().state == State.PENDING


def test_a_reaper_beside_a_finish_puts_nothing_back(others: ThreadPoolExecutor) -> None:
    make_job()
    job = claim()
    with transaction.atomic():
        outcomes.complete(job, Product(renditions=()))
        reaped = beside(others, lambda: transitions.put_back(Job.objects.get()))
        wait_until_waiting()
    assert reaped.result(20) is False
    assert (Job.objects.get().state, Success.objects.count()) == (State.COMPLETED, 1)


def test_a_duplicate_beside_the_end_is_a_job(others: ThreadPoolExecutor) -> None:
    make_job()
    job = claim()
    with transaction.atomic():
        outcomes.complete(job, Product(renditions=()))
        twin = beside(others, make_job)
        wait_until_waiting()
    assert twin.result(20).state == State.PENDING
    assert Job.objects.count() == 2


def test_a_duplicate_beside_an_end_that_does_not_come_is_refused(
    others: ThreadPoolExecutor,
) -> None:
    make_job()
    job = claim()
    with transaction.atomic():
        outcomes.complete(job, Product(renditions=()))
        twin = beside(others, make_job)
        wait_until_waiting()
        transaction.set_rollback(True)
    with pytest.raises(Conflict):
        twin.result(20)
    assert Job.objects.get().state == State.PROCESSING


def test_uploads_of_one_subject_at_once_get_turns_of_their_own(
    others: ThreadPoolExecutor,
) -> None:
    with transaction.atomic():
        make_job("alice", picture(0))
        mine = [beside(others, lambda n=n: make_job("alice", picture(n))) for n in range(1, 4)]
        wait_until_waiting(3)
        # Another subject waits for nobody.
        beside(others, lambda: make_job("bob", picture(9))).result(20)
    for each in mine:
        each.result(20)
    turns = Job.objects.filter(subject="alice").order_by("turn").values_list("turn", flat=True)
    assert list(turns) == [0, 1, 2, 3]


# References


def test_many_subjects_with_one_new_picture_get_a_name_each(others: ThreadPoolExecutor) -> None:
    with transaction.atomic():
        first = make_job("first")
        futures = [beside(others, lambda n=n: make_job(f"user-{n}")) for n in range(MANY)]
        wait_until_waiting(MANY)
    names = {each.result(20).reference_id for each in futures}
    bare = first.reference_id
    assert names == {f"{bare}_{number}" for number in range(1, MANY + 1)}


def test_the_same_upload_at_once_is_one_job(others: ThreadPoolExecutor) -> None:
    with transaction.atomic():
        make_job()
        twins = [beside(others, make_job) for _ in range(3)]
        wait_until_waiting(3)
    for each in twins:
        with pytest.raises(Conflict):
            each.result(20)
    assert (Job.objects.count(), Reference.objects.count()) == (1, 1)


# Events


def test_no_event_appears_behind_a_reader(others: ThreadPoolExecutor) -> None:
    make_job("alice", picture(1))
    make_job("alice", picture(2))
    early, late = claim("one"), claim("two")
    with transaction.atomic():
        outcomes.complete(early, Product(renditions=()))
        after = beside(others, lambda: outcomes.complete(late, Product(renditions=())))
        wait_until_waiting()
        seen = beside(others, lambda: list(Event.objects.values_list("job_id", flat=True)))
        assert seen.result(20) == []
    after.result(20)
    found = Event.objects.order_by("id").values_list("job_id", flat=True)
    assert list(found) == [early.pk, late.pk]


# Deliveries and callbacks


def test_a_delivery_is_claimed_by_one_clerk(others: ThreadPoolExecutor) -> None:
    delivery = planned()
    twin = Delivery.objects.get()
    with transaction.atomic():
        assert deliveries_due.claim(delivery, "one")
        second = beside(others, lambda: deliveries_due.claim(twin, "two"))
        wait_until_waiting()
    assert second.result(20) is False
    stored = Delivery.objects.get()
    assert (stored.owner, stored.fence) == ("one", delivery.fence)


def test_an_orphan_that_was_claimed_anew_stays_with_its_clerk(others: ThreadPoolExecutor) -> None:
    dead = f"{leases.myself().partition('/')[0]}/999999999/1"
    planned()
    Delivery.objects.update(state=DeliveryState.SENDING, owner=dead, next_at=timezone.now())
    with transaction.atomic():
        assert deliveries_due.claim(Delivery.objects.get(), "one")
        reclaimed = beside(others, deliveries_due.reclaim_orphans)
        wait_until_waiting()
    assert reclaimed.result(20) == 0
    assert Delivery.objects.get().owner == "one"


def test_a_callback_that_was_just_taken_is_not_replayed(others: ThreadPoolExecutor) -> None:
    callback = owe(make_job())
    asked = Callback.objects.filter(
        event__message_id=callback.event.message_id, job__subject="alice"
    )
    with transaction.atomic():
        assert callbacks.claim(callback, "one")
        replayed = beside(others, lambda: callbacks.replay(asked))
        wait_until_waiting()
    assert replayed.result(20) == 0
    assert Callback.objects.get().state == CallbackState.SENDING


# Retention


def test_a_job_that_is_replayed_beside_pruning_stays(others: ThreadPoolExecutor) -> None:
    job = put_in_state(make_job(), State.FAILED)
    Job.objects.update(finished_at=timezone.now() - timedelta(days=4000))
    with transaction.atomic():
        lifecycle.replay(job)
        pruned = beside(others, retention._forget_jobs)
        wait_until_waiting()
    assert pruned.result(20) == 0
    assert Job.objects.get().state == State.PENDING
    assert staging.source_path(job.uid).exists()


def test_who_replays_beside_pruning_is_told_so(others: ThreadPoolExecutor) -> None:
    job = put_in_state(make_job(), State.FAILED)
    with transaction.atomic():
        Job.objects.update(has_source=False)
        replayed = beside(others, lambda: lifecycle.replay(job))
        wait_until_waiting()
    with pytest.raises(Gone):
        replayed.result(20)
    assert Job.objects.get().state == State.FAILED


def test_who_replays_a_record_that_is_being_pruned_is_told_so(others: ThreadPoolExecutor) -> None:
    job = put_in_state(make_job(), State.FAILED)
    Job.objects.update(finished_at=timezone.now() - timedelta(days=4000))
    with transaction.atomic():
        assert retention._forget_jobs() == 1
        replayed = beside(others, lambda: lifecycle.replay(job))
        wait_until_waiting()
    with pytest.raises(Gone):
        replayed.result(20)


# Sweeping


def test_an_upload_whose_job_is_not_committed_yet_is_not_swept(others: ThreadPoolExecutor) -> None:
    """Its process was killed, and PostgreSQL still writes what it had sent."""
    staged = stage()
    assert staged.hold is not None
    staged.hold.release()
    with transaction.atomic():
        intake.accept(staged, spec.parse(SMALL_JOB), "alice")
        swept = beside(others, lambda: sweeping.sweep_staging(min_age_s=-1))
        wait_until_waiting()
    assert swept.result(20) == 0
    assert staging.source_path(staged.uid).exists()


def test_an_arrival_that_becomes_a_job_is_not_taken_away(others: ThreadPoolExecutor) -> None:
    uid = uuid.uuid4()
    arrivals.announce(uid)
    with transaction.atomic():
        assert arrivals.settle(uid)
        taken = beside(others, arrivals.Lost(silent_s=0).take)
        wait_until_waiting()
    assert taken.result(20) == []


def test_an_arrival_that_is_taken_away_becomes_no_job(others: ThreadPoolExecutor) -> None:
    uid = uuid.uuid4()
    arrivals.announce(uid)
    with transaction.atomic():
        assert arrivals.Lost(silent_s=0).take() == [uid]
        settled = beside(others, lambda: arrivals.settle(uid))
        wait_until_waiting()
    assert settled.result(20) is False


def test_all_hosts_see_that_staging_is_kept(
    others: ThreadPoolExecutor, configure: Callable[..., None]
) -> None:
    to = Destination("s3", "staging", {}, {}, False, "1")
    configure(staging=to, staging_url=SecretStr("s3://b"))
    assert not holds.is_kept()
    with holds.kept():
        (Path(settings.PIXERVE.data_dir) / "run" / "keep-staging").unlink()  # another host has none
        assert beside(others, holds.is_kept).result(20) is True
    assert not holds.is_kept()


# The start


def test_hosts_that_start_at_once_make_what_is_missing_one_after_the_other(
    others: ThreadPoolExecutor,
) -> None:
    # Each has a data folder, and its lock, of its own; they share the database's.
    def start() -> None:
        with locks.alone(locks.Lock.START):
            first_run.ensure_schedule()

    with locks.alone(locks.Lock.START):
        second = beside(others, start)
        wait_until_waiting()
        first_run.ensure_schedule()
    second.result(20)
    assert Schedule.objects.count() == 1


# A connection that breaks


def break_off(after: str) -> Any:
    """Once, right after a statement that begins so, the server ends this connection."""
    broken = threading.Event()

    def wrapper(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        result = execute(sql, *args)
        if sql.lstrip().startswith(after) and not broken.is_set():
            broken.set()
            pid = connection.connection.info.backend_pid
            with ThreadPoolExecutor(1) as pool:
                beside(pool, lambda: _terminate(pid)).result(20)
        return result

    return connection.execute_wrapper(wrapper)


def _terminate(pid: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])


def test_an_upload_whose_commit_nobody_answered_keeps_its_bytes() -> None:
    staged = stage()
    with break_off('INSERT INTO "jobs_job"'), pytest.raises(intake.Unconfirmed) as caught:
        intake.accept(staged, spec.parse(SMALL_JOB), "alice")
    refused = refusal_of(caught.value)
    assert refused is not None
    assert (refused.status, refused.code, refused.retry_after) == (503, "database_unavailable", 5)
    connection.close()
    assert not Job.objects.exists()
    assert staging.source_path(staged.uid).exists()
    assert make_job().pk  # and the client may well send it again


def test_an_outcome_is_written_when_the_database_is_back() -> None:

    make_job()
    job = claim()
    connection.close()
    with break_off("UPDATE"):
        outages.insist(lambda: outcomes.complete(job, Product(renditions=())))
    assert Job.objects.get().state == State.COMPLETED
    assert (Success.objects.count(), Event.objects.count()) == (1, 1)
