"""`manage.py replay_jobs`: failed jobs run again, all or those that are chosen."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from jobs import staging
from jobs.models import Job
from tests.jobs.making import make_job, picture, put_in_state

pytestmark = pytest.mark.django_db(transaction=True)


def fail(number: int, subject: str = "ann", code: str = "disk_full", hours_ago: float = 0) -> Job:
    job = put_in_state(make_job(subject, picture(number)), "failed", error_code=code)
    moment = timezone.now() - timedelta(hours=hours_ago)
    Job.objects.filter(pk=job.pk).update(finished_at=moment)
    return job


def told(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("replay_jobs", *arguments, stdout=out, stderr=err)
    return out.getvalue().strip(), err.getvalue().strip()


def pending() -> set[int]:
    return set(Job.objects.filter(state="pending").values_list("pk", flat=True))


def test_all_of_them() -> None:
    jobs = [fail(number) for number in range(3)]
    put_in_state(make_job("bob", picture(9)), "completed")
    assert told("--dry-run") == ("would replay 3 jobs", "")
    assert pending() == set()
    assert told() == ("replayed 3 jobs, 0 refused", "")
    assert pending() == {job.pk for job in jobs}
    assert told() == ("replayed 0 jobs, 0 refused", "")


@pytest.mark.parametrize(
    "options",
    [
        ("--code", "worker_lost"),
        ("--subject", "bob"),
        ("--since", (timezone.now() - timedelta(hours=2)).isoformat()),
        ("--code", "worker_lost", "--subject", "bob"),
    ],
)
def test_only_those_that_are_chosen(options: tuple[str, ...]) -> None:
    chosen = fail(1, "bob", "worker_lost", hours_ago=1)
    fail(2, hours_ago=3)
    assert told(*options) == ("replayed 1 jobs, 0 refused", "")
    assert pending() == {chosen.pk}


def test_those_that_refuse_are_named() -> None:
    gone, fine = fail(1), fail(2)
    staging.discard(gone.uid)
    out, err = told()
    assert out == "replayed 1 jobs, 1 refused"
    assert err.startswith(f"{gone.uid}: source_gone: ")
    assert pending() == {fine.pk}


def test_a_time_that_is_none() -> None:
    with pytest.raises(CommandError, match="is no time like"):
        told("--since", "yesterday")
