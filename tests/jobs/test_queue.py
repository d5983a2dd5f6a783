"""The order of the queue: by priority, then in turns of the subjects."""

from datetime import datetime, timedelta, tzinfo

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs import queue, transitions
from jobs.models import Job, Reference
from tests.jobs.making import claim, make_job, picture

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]


def wants(subject: str, number: int, priority: int = 0) -> Job:
    job = {"formats": {"jpg": {}}, "directHost": True, "priority": priority}
    return make_job(subject, picture(number), job)


def claimed() -> list[str]:
    """Claim everything; the subjects in the order they came."""
    found = []
    while job := transitions.claim_best("me"):
        found.append(job.subject)
    return found


def test_first_come_first_served_within_a_subject() -> None:
    made = [wants("ann", number).pk for number in range(4)]
    assert [claim().pk for _ in made] == made


def test_realtime_before_queued_in_the_middle_of_a_backlog() -> None:
    for number in range(5):
        wants("ann", number, priority=1)
    claim()
    wants("bob", 100, priority=0)
    assert claimed()[0] == "bob"


def test_lower_numbers_first() -> None:
    for priority in (5, 1, 1000, 0, 2):
        wants(f"p{priority}", priority, priority)
    assert claimed() == ["p0", "p1", "p2", "p5", "p1000"]


@pytest.mark.parametrize("backlog", [1, 10, 60])
@pytest.mark.parametrize("done", [0, 7])
def test_a_backlog_delays_another_by_two_at_most(backlog: int, done: int) -> None:
    for number in range(backlog + done):
        wants("ann", number)
    for _ in range(done):
        claim()
    wants("bob", 1000)
    assert claimed().index("bob") <= 2


def test_two_backlogs_take_turns() -> None:
    for number in range(10):
        wants("ann", number)
    for number in range(100, 110):
        wants("bob", number)
    order = claimed()
    for place in range(2, len(order)):
        assert len(set(order[place - 2 : place + 1])) == 2


def test_who_comes_again_and_again_does_not_overtake() -> None:
    """A subject that always has one job waiting gets each second place, not each."""
    for number in range(20):
        wants("ann", number)
    order = []
    for number in range(100, 110):
        wants("bob", number)
        order += [claim().subject, claim().subject]
    assert order.count("ann") >= 9


def test_what_waits_for_its_next_try_is_not_runnable() -> None:
    later = wants("ann", 1)
    Job.objects.filter(pk=later.pk).update(run_after=timezone.now() + timedelta(hours=1))
    assert not queue.runnable().exists()
    assert transitions.claim_best("me") is None
    Job.objects.update(run_after=timezone.now())
    assert claim().pk == later.pk


def test_the_view_and_the_claim_agree() -> None:
    for number in range(12):
        wants(f"s{number % 4}", number, priority=number % 3)
    while shown := queue.runnable().first():
        assert claim().pk == shown.pk


def test_the_oldest_wait() -> None:
    assert queue.oldest_wait() is None
    first, second = wants("ann", 1), wants("bob", 2)
    moment = timezone.now() - timedelta(minutes=5)
    Job.objects.filter(pk=second.pk).update(created_at=moment)
    assert queue.oldest_wait() == moment
    Job.objects.filter(pk=second.pk).update(state="completed")
    assert queue.oldest_wait() == first.created_at


def test_a_job_that_was_delayed_waits_since_it_may_run() -> None:
    delayed = wants("ann", 1)
    moment = timezone.now() - timedelta(seconds=1)
    Job.objects.filter(pk=delayed.pk).update(
        created_at=moment - timedelta(days=1), run_after=moment
    )
    assert queue.oldest_wait() == moment


def test_a_clock_that_is_set_back_delays_no_fresh_job(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as ahead:
        ahead.setattr(timezone, "datetime", AnHourAhead)
        job = wants("ann", 1)
    assert job.created_at > timezone.now()
    assert queue.runnable().exists()
    assert claim().pk == job.pk


class AnHourAhead(datetime):
    """What Django asks for the time, on a machine whose clock is fast."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) + timedelta(hours=1)


def test_a_claim_writes_who_and_when() -> None:
    job = wants("ann", 1)
    before = timezone.now()
    found = claim("host/1/2")
    stored = Job.objects.get(pk=job.pk)
    assert (stored.state, stored.stage, stored.owner) == ("processing", "converting", "host/1/2")
    assert (stored.fence, stored.attempts, stored.done) == (job.fence + 1, 1, 0)
    assert stored.claimed_at is not None
    assert stored.claimed_at >= before
    assert (found.fence, found.owner, found.state) == (stored.fence, "host/1/2", "processing")


events = st.lists(
    st.tuples(st.sampled_from(["upload", "upload", "claim"]), st.sampled_from("abc")),
    min_size=5,
    max_size=30,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(events)
def test_nobody_is_passed_over_twice_by_the_same_subject(history: list[tuple[str, str]]) -> None:
    """While one's best job waits, each other subject is served twice at most."""
    Job.objects.all().delete()
    Reference.objects.all().delete()
    for number, (event, subject) in enumerate(history):
        if event == "upload":
            wants(subject, number)
        else:
            transitions.claim_best("me")
    waiting = set(Job.objects.filter(state="pending").values_list("subject", flat=True))
    order = claimed()
    for subject in waiting:
        before = order[: order.index(subject)]
        assert all(before.count(other) <= 2 for other in set(before)), order
