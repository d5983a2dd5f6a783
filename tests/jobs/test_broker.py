"""The broker: a wake-up while a row is runnable, stored tasks beside it."""

import time
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from jobs import bells, broker, pipeline
from jobs.bells import Bell
from jobs.broker import JobBroker
from jobs.models import Job
from tests.jobs.making import make_job, picture

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def own_bell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bell in this test's folder, not in the one of the test that rang first."""
    monkeypatch.setattr(bells, "queue", Bell("queue"))
    monkeypatch.setattr(Conf, "POLL", 0.1)


def test_django_q_uses_it() -> None:
    assert type(get_broker()) is JobBroker


def test_a_runnable_row_is_a_wake_up() -> None:
    make_job()
    ((ack_id, package),) = JobBroker().dequeue() or []
    task = SignedPackage.loads(package)
    assert ack_id is None
    assert (task["func"], task["args"], task["kwargs"]) == (broker.WAKE, (), {})


def test_a_wake_up_names_the_function_that_works() -> None:
    module, _, name = broker.WAKE.rpartition(".")
    assert (module, getattr(pipeline, name)) == ("jobs.pipeline", pipeline.wake)


def test_no_wake_up_is_stored_and_none_is_used_up() -> None:
    make_job()
    one = JobBroker()
    assert one.dequeue() == one.dequeue()
    assert not OrmQ.objects.exists()


def test_nothing_to_do_waits_for_the_bell_or_the_poll() -> None:
    started = time.monotonic()
    assert JobBroker().dequeue() is None
    assert time.monotonic() - started >= 0.1


def test_accepting_a_job_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conf, "POLL", 60)
    bells.queue.wait(0)
    make_job()
    assert bells.queue.wait(0) is True


def test_what_is_not_runnable_yet_is_no_wake_up() -> None:
    make_job()
    Job.objects.update(run_after=timezone.now() + timedelta(hours=1))
    assert JobBroker().dequeue() is None


def test_stored_tasks_come_too_even_in_a_backlog() -> None:
    for number in range(5):
        make_job("ann", picture(number))
    async_task("jobs.retention.daily")
    ((ack_id, package),) = JobBroker().dequeue() or []
    assert ack_id is not None
    assert SignedPackage.loads(package)["func"] == "jobs.retention.daily"


def test_a_broker_that_looked_in_vain_looks_again_later() -> None:
    make_job()
    one = JobBroker()
    one.dequeue()
    async_task("jobs.retention.daily")
    ((ack_id, _),) = one.dequeue() or []
    assert ack_id is None
    one._stored_due = 0.0
    ((ack_id, _),) = one.dequeue() or []
    assert ack_id is not None


def test_a_database_that_is_away_is_no_end_of_the_pusher() -> None:
    """django-q2 would end it, and with it the cluster and what its workers make."""
    make_job()

    def away(*args: object) -> None:
        raise OperationalError("away")

    with connection.execute_wrapper(away):
        assert JobBroker().dequeue() is None
    assert JobBroker().dequeue()
