"""Transitions: exactly those of the table, and each race has one winner."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from jobs import lifecycle, outcomes, retention, staging, transitions
from jobs.errors import Conflict, Gone
from jobs.models import Job
from jobs.outcomes import Product
from jobs.states import FINAL, IN_FLIGHT, TRANSITIONS, State
from jobs.transitions import move
from tests.jobs.making import claim, make_job, put_in_state

pytestmark = pytest.mark.django_db(transaction=True)

TABLE = {
    ("created", "pending"),
    ("created", "cancelled"),
    ("pending", "processing"),
    ("pending", "cancelled"),
    ("processing", "completed"),
    ("processing", "failed"),
    ("processing", "pending"),
    ("failed", "pending"),
}


def state_of(job: Job) -> str:
    return Job.objects.get(pk=job.pk).state


def test_the_table() -> None:
    assert {(leave, to) for leave, ways in TRANSITIONS.items() for to in ways} == TABLE
    assert set(TRANSITIONS) == set(State)


@pytest.mark.parametrize(("leave", "to"), list(product(State, State)))
def test_every_pair(leave: State, to: State) -> None:
    job = put_in_state(make_job(), leave)
    rows = Job.objects.filter(pk=job.pk)
    if (leave, to) in TABLE:
        assert move(rows, leave, to) == 1
        assert state_of(job) == to
    else:
        with pytest.raises(ValueError, match="no way"):
            move(rows, leave, to)
        assert state_of(job) == leave


@pytest.mark.parametrize("state", list(State))
def test_a_move_touches_only_rows_in_the_state_it_leaves(state: State) -> None:
    job = put_in_state(make_job(), state)
    moved = move(Job.objects.filter(pk=job.pk), State.PENDING, State.CANCELLED)
    assert moved == (1 if state == State.PENDING else 0)
    assert state_of(job) == ("cancelled" if state == State.PENDING else state)


VERBS: dict[str, tuple[Callable[[Job], bool], set[str]]] = {
    "cancel": (transitions.cancel, {"created", "pending"}),
    "replay": (transitions.replay, {"failed"}),
    "finish": (transitions.finish, {"processing"}),
    "put_back": (transitions.put_back, {"processing"}),
    "fail": (lambda job: transitions.fail(job, "code", "message"), {"processing"}),
}


@pytest.mark.parametrize(("verb", "state"), list(product(VERBS, State)))
def test_each_verb_works_from_its_own_states_only(verb: str, state: State) -> None:
    act, allowed = VERBS[verb]
    job = put_in_state(make_job(), state)
    assert act(job) is (state in allowed)
    assert (state_of(job) == state) is (state not in allowed)


@pytest.mark.parametrize("state", list(State))
def test_only_the_pending_is_claimed(state: State) -> None:
    put_in_state(make_job(), state)
    assert (transitions.claim_best("me") is not None) is (state == State.PENDING)


def test_an_end_has_a_time_and_a_return_has_none() -> None:
    assert set(FINAL) | set(IN_FLIGHT) == set(State)
    make_job()
    job = claim()
    transitions.fail(job, "code", "message")
    failed = Job.objects.get()
    assert failed.finished_at is not None
    transitions.replay(failed)
    again = Job.objects.get()
    assert (again.finished_at, again.error_code, again.attempts) == (None, "", 0)


# Races, in both orders: whoever comes second holds a job as it was before. (Those that meet in the
# middle of a transaction, which only PostgreSQL has: test_races.py.)


@pytest.mark.sql
def test_cancel_before_claim() -> None:
    job = make_job()
    lifecycle.cancel(job)
    assert transitions.claim_best("me") is None
    assert state_of(job) == "cancelled"


@pytest.mark.sql
def test_claim_before_cancel() -> None:
    job = make_job()
    holder = claim()
    with pytest.raises(Conflict) as caught:
        lifecycle.cancel(job)
    assert caught.value.code == "not_pending"
    assert "processing" in caught.value.message
    outcomes.complete(holder, Product(renditions=()))
    assert state_of(job) == "completed"


@pytest.mark.sql
def test_reap_before_finish() -> None:
    make_job()
    holder = claim("first")
    assert transitions.put_back(holder)
    assert not transitions.finish(holder)
    assert state_of(holder) == "pending"


@pytest.mark.sql
def test_finish_before_reap() -> None:
    make_job()
    holder = claim("first")
    assert transitions.finish(holder)
    assert not transitions.put_back(holder)
    assert state_of(holder) == "completed"


@pytest.mark.sql
def test_two_reapers_count_one_loss() -> None:
    make_job()
    seen_by_both = claim()
    assert transitions.put_back(seen_by_both)
    assert not transitions.put_back(seen_by_both)


@pytest.mark.sql
def test_a_second_claim_has_another_fence() -> None:
    make_job()
    first = claim("one")
    transitions.put_back(first)
    second = claim("two")
    assert second.fence > first.fence
    for verb in ("finish", "put_back", "fail"):
        assert VERBS[verb][0](first) is False
    assert transitions.finish(second)


@pytest.mark.sql
def test_of_two_replays_one_happens() -> None:
    job = put_in_state(make_job(), "failed")
    stale = Job.objects.get(pk=job.pk)
    lifecycle.replay(job)
    with pytest.raises(Conflict) as caught:
        lifecycle.replay(stale)
    assert caught.value.code == "not_failed"


@pytest.mark.sql
def test_replay_before_a_new_upload() -> None:
    lifecycle.replay(put_in_state(make_job(), "failed"))
    with pytest.raises(Conflict) as caught:
        make_job()
    assert caught.value.code == "duplicate_in_flight"
    assert Job.objects.count() == 1


@pytest.mark.sql
def test_a_new_upload_before_replay() -> None:
    old = put_in_state(make_job(), "failed")
    make_job()
    with pytest.raises(Conflict) as caught:
        lifecycle.replay(old)
    assert caught.value.code == "duplicate_in_flight"
    assert state_of(old) == "failed"


@pytest.mark.sql
def test_prune_before_replay() -> None:
    job = put_in_state(make_job(), "failed")
    Job.objects.update(has_source=False)
    with pytest.raises(Gone) as caught:
        lifecycle.replay(job)
    assert caught.value.code == "source_gone"


@pytest.mark.sql
def test_replay_before_prune() -> None:
    job = put_in_state(make_job(), "failed")
    doomed = Job.objects.get(pk=job.pk)
    lifecycle.replay(job)
    assert not retention._forget_source(doomed)
    assert state_of(job) == "pending"
    assert staging.source_path(job.uid).exists()


@pytest.mark.sql
def test_a_replay_of_a_record_that_is_pruned() -> None:
    job = put_in_state(make_job(), "failed")
    Job.objects.filter(pk=job.pk).delete()
    with pytest.raises(Gone):
        lifecycle.replay(job)


@pytest.mark.sql
def test_prune_before_replay_by_one_who_saw_the_source() -> None:
    seen = put_in_state(make_job(), "failed")
    assert retention._forget_source(Job.objects.get(pk=seen.pk))
    assert not transitions.replay(seen)
    assert state_of(seen) == "failed"


@pytest.mark.sql
@pytest.mark.parametrize("end", ["finish", "fail"])
def test_a_duplicate_before_the_end(end: str) -> None:
    make_job()
    holder = claim()
    with pytest.raises(Conflict) as caught:
        make_job()
    assert caught.value.code == "duplicate_in_flight"
    assert VERBS[end][0](holder)
    assert Job.objects.count() == 1


@pytest.mark.sql
@pytest.mark.parametrize("end", ["finish", "fail"])
def test_the_end_before_a_duplicate(end: str) -> None:
    first = make_job()
    assert VERBS[end][0](claim())
    second = make_job()
    assert second.reference_id == first.reference_id
    assert [state_of(job) for job in (first, second)][1] == "pending"


@pytest.mark.sql
@pytest.mark.parametrize("end", ["finish", "fail"])
def test_an_end_after_a_duplicate_was_refused_and_before_it_looks_why(end: str) -> None:
    make_job()
    holder = claim()
    acted: list[bool] = []

    def wrapper(execute: Callable[..., Any], sql: str, *args: object) -> Any:
        if not acted and sql.startswith("SELECT") and "sha256" in sql and "state" in sql:
            acted.append(VERBS[end][0](holder))
        return execute(sql, *args)

    with connection.execute_wrapper(wrapper):
        assert make_job().state == "pending"
    assert acted == [True]


@pytest.mark.sql
def test_cancel_of_a_job_that_was_reaped_meanwhile() -> None:
    make_job()
    holder = claim()
    with pytest.raises(Conflict):
        lifecycle.cancel(holder)
    assert transitions.put_back(holder)
    lifecycle.cancel(holder)
    assert not transitions.finish(holder)
    assert state_of(holder) == "cancelled"


def test_updated_at_follows_each_move() -> None:
    job = make_job()
    long_ago = timezone.now().replace(year=2000)
    Job.objects.update(updated_at=long_ago)
    transitions.cancel(job)
    assert Job.objects.get().updated_at > long_ago
