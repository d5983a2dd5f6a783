"""One subject's backlog: what it may delay, and how much of the workers it may have."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from jobs import leases, outcomes, queue, shares, transitions
from jobs.clerk import Watchdog
from jobs.models import Job
from jobs.outcomes import Product
from tests.jobs.making import claim, make_job, picture
from tests.jobs.test_queue import claimed, wants

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]
Configure = Callable[..., None]
MANY = 10_000


def pile_up(subject: str, count: int) -> None:
    """`count` jobs of a subject in the queue, each with the turn that an upload gives it."""
    first = make_job(subject, picture(1))
    columns = [field.column for field in Job._meta.concrete_fields if field.column != "id"]
    postgres = connection.vendor == "postgresql"
    own = {
        "uid": "gen_random_uuid()" if postgres else "lower(hex(randomblob(16)))",
        "sha256": "substr(CAST(n + 100000 AS text) || sha256, 1, 64)",
        "turn": "turn + n",
    }
    shown = ", ".join(own.get(each, f"jobs_job.{each}") for each in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers"  # noqa: S608
            f" WHERE n < %s) INSERT INTO jobs_job ({', '.join(columns)})"
            f" SELECT {shown} FROM jobs_job, numbers WHERE jobs_job.id = %s",
            [count - 1, first.pk],
        )


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "_walk", shares.Walk())


@pytest.mark.parametrize("workers", [1, 4])
def test_ten_thousand_uploads_delay_another_by_one_job_a_worker(workers: int) -> None:
    pile_up("ann", MANY)
    for _ in range(workers):
        claim()
    wants("bob", 1000)
    between = [claim().subject for _ in range(workers + 1)].index("bob")
    assert between <= 1 <= workers


def test_a_subject_has_no_more_than_its_share(configure: Configure) -> None:
    configure(max_concurrent_per_subject=2)
    for number in range(5):
        wants("ann", number)
    wants("bob", 100)
    assert claimed() == ["ann", "bob", "ann"]
    assert not queue.any_runnable()
    assert queue.oldest_wait() is None
    assert transitions.claim_best("me") is None
    outcomes.complete(Job.objects.filter(subject="ann", state="processing")[0], Product(()))
    assert queue.any_runnable()
    assert claimed() == ["ann"]


def test_without_a_limit_nothing_is_counted(django_assert_num_queries: Any) -> None:
    for number in range(3):
        wants("ann", number)
    with django_assert_num_queries(3):
        assert [claim().subject for _ in range(3)] == ["ann"] * 3


@pytest.mark.parametrize("priority", [0, 1])
def test_a_long_backlog_of_a_full_subject_is_stepped_over(
    configure: Configure, priority: int
) -> None:
    configure(max_concurrent_per_subject=1)
    pile_up("ann", 3 * shares.HEAD)
    assert claim().subject == "ann"
    assert transitions.claim_best("me") is None
    late = wants("bob", 1000, priority)
    Job.objects.filter(pk=late.pk).update(turn=10**6)
    later = wants("cat", 1001, priority)
    Job.objects.filter(pk=later.pk).update(turn=10**6)
    assert claimed() == ["bob", "cat"]


def behind(subject: str, number: int, priority: int = 0) -> Job:
    """A job with a later turn than all that `pile_up` makes."""
    job = wants(subject, number, priority)
    Job.objects.filter(pk=job.pk).update(turn=10**6 + number)
    return job


def test_what_was_looked_up_serves_the_next_claims(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares, "LOOK_EVERY_S", 3600.0)
    configure(max_concurrent_per_subject=1)
    pile_up("ann", 2 * shares.HEAD)
    claim()
    for number, subject in enumerate(["bob", "cat", "dan", "eve"]):
        behind(subject, number)
    walks: list[str] = []

    def wrapper(execute: Callable[..., Any], sql: str, *args: object) -> Any:
        if "RECURSIVE" in sql:
            walks.append(sql)
        return execute(sql, *args)

    with connection.execute_wrapper(wrapper):
        assert claim().subject == "bob"
        Job.objects.filter(subject="cat").update(state="cancelled")
        assert [claim().subject, claim().subject] == ["dan", "eve"]
        assert len(walks) == 1
        # Who comes now is found all the same, as nothing is left of what was known.
        behind("fay", 5)
        assert claim().subject == "fay"
        assert len(walks) == 2


def test_a_priority_is_not_passed_over_for_what_was_looked_up(configure: Configure) -> None:
    configure(max_concurrent_per_subject=2)
    pile_up("ann", 2 * shares.HEAD)
    claim()
    claim()
    behind("bob", 1, priority=0)
    behind("bob", 2, priority=0)
    behind("cat", 3, priority=1)
    assert claimed() == ["bob", "bob", "cat"]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="a plan of SQLite")
def test_those_who_are_served_are_found_by_an_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {shares._FULL}", [1])
        assert "COVERING INDEX job_leased" in str(cursor.fetchall())


def test_a_delivery_that_waits_takes_no_share(configure: Configure) -> None:
    configure(max_concurrent_per_subject=1)
    wants("ann", 1)
    wants("ann", 2)
    parked = claim()
    assert not queue.any_runnable()
    Job.objects.filter(pk=parked.pk).update(stage="delivering", owner="")
    assert claim().pk != parked.pk


def test_of_many_who_claim_at_once_no_more_succeed(configure: Configure) -> None:
    configure(max_concurrent_per_subject=2)
    for number in range(12):
        wants("ann", number)

    def one(number: int) -> bool:
        try:
            return transitions.claim_best(f"worker {number}") is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(one, range(12))) == 2


def test_a_subject_that_has_its_share_is_no_hang(configure: Configure) -> None:
    configure(max_concurrent_per_subject=1, max_workers=4)
    wants("ann", 1)
    wants("ann", 2)
    claim(leases.myself())
    dog = Watchdog(hang_s=0.0)
    assert [dog.look() for _ in range(3)] == [False] * 3


def test_what_is_backed_off_is_not_taken_for_its_subjects_best(configure: Configure) -> None:
    configure(max_concurrent_per_subject=1)
    pile_up("ann", 2 * shares.HEAD)
    claim()
    first, second = wants("bob", 1, 1), wants("bob", 2, 1)
    Job.objects.filter(pk=first.pk).update(run_after=timezone.now().replace(year=2999))
    assert claim().pk == second.pk
