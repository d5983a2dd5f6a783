"""Events: each end of a job, told or not, in the transaction of its outcome."""

from typing import Any

import pytest
from django.db import DatabaseError, connection

from jobs import events, lifecycle, outcomes, spec
from jobs.errors import Conflict, InvalidSpec
from jobs.models import Callback, Event, EventType, Job
from jobs.outcomes import Product
from jobs.states import State
from tests.jobs.making import SMALL_JOB, claim, make_job, picture, put_in_state

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]
HOOK = {**SMALL_JOB, "completionCallback": "http://127.0.0.1:9/hook"}


def end_each_way(job: dict[str, Any]) -> None:
    """One job completes, one fails, one is cancelled."""
    make_job("alice", picture(1), job)
    outcomes.complete(claim(), Product(renditions=()))
    make_job("alice", picture(2), job)
    outcomes.fail(claim(), "damaged_picture", "it is broken")
    lifecycle.cancel(make_job("alice", picture(3), job))


def called_back() -> list[str]:
    return list(Callback.objects.order_by("id").values_list("event__type", flat=True))


def test_every_end_is_an_event_even_if_nobody_is_told() -> None:
    end_each_way(SMALL_JOB)
    found = list(Event.objects.order_by("id"))
    assert [event.type for event in found] == ["job.completed", "job.failed", "job.cancelled"]
    assert [event.job for event in found] == list(Job.objects.order_by("id"))
    assert {event.subject for event in found} == {"alice"}
    assert not Callback.objects.exists()


def test_by_default_completed_and_failed_are_told() -> None:
    end_each_way(HOOK)
    assert called_back() == ["job.completed", "job.failed"]
    assert Event.objects.count() == 3


@pytest.mark.parametrize(
    "wanted",
    [["job.cancelled"], ["job.failed", "job.completed"], [each.value for each in EventType]],
)
def test_a_token_chooses_what_is_told(wanted: list[str]) -> None:
    end_each_way({**HOOK, "callbackEvents": wanted})
    assert set(called_back()) == set(wanted)
    assert Event.objects.count() == 3


def test_the_token_and_the_events_know_the_same_names() -> None:
    default = spec.JobSpec.model_fields["callback_events"].default
    assert tuple(default) == events.DEFAULT_TYPES
    assert spec.parse({**HOOK, "callbackEvents": [each.value for each in EventType]})


@pytest.mark.parametrize(
    "wrong", [[], ["completed"], ["job.started"], "job.failed", None, ["job.failed"] * 4, [1]]
)
def test_wrong_events_are_refused_by_name(wrong: object) -> None:
    with pytest.raises(InvalidSpec) as caught:
        spec.parse({**HOOK, "callbackEvents": wrong})
    assert (caught.value.field or "").startswith("job.callbackEvents")


def test_what_a_cancelled_job_says() -> None:
    job = make_job(job={**HOOK, "callbackEvents": ["job.cancelled"]})
    lifecycle.cancel(job)
    payload = Callback.objects.get().event.payload
    assert isinstance(payload.pop("timestamp"), int)
    assert payload == {
        "hash": job.reference_id,
        "status": "cancelled",
        "file_count": 0,
        "job_data": job.spec,
    }


def test_who_comes_too_late_to_cancel_tells_nothing() -> None:
    job = put_in_state(make_job(job=HOOK), "processing")
    with pytest.raises(Conflict):
        lifecycle.cancel(job)
    assert not Event.objects.exists()


@pytest.mark.parametrize("table", ["jobs_event", "jobs_callback"])
def test_no_cancel_without_its_event(table: str) -> None:
    job = make_job(job={**HOOK, "callbackEvents": ["job.cancelled"]})

    def break_at(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith("INSERT") and f'"{table}"' in sql:
            raise DatabaseError("the disk is on fire")
        return execute(sql, *args)

    with connection.execute_wrapper(break_at), pytest.raises(DatabaseError):
        lifecycle.cancel(job)
    assert (Job.objects.get().state, Event.objects.count()) == (State.PENDING, 0)
    lifecycle.cancel(job)
    assert Callback.objects.get().event.type == "job.cancelled"


def test_ids_are_never_given_twice() -> None:
    end_each_way(SMALL_JOB)
    last = Event.objects.latest("id").pk
    Event.objects.filter(pk=last).delete()
    make_job("alice", picture(4))
    outcomes.complete(claim(), Product(renditions=()))
    assert Event.objects.latest("id").pk > last
