"""`manage.py send_callbacks`: which callbacks it makes due."""

import uuid
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from jobs import callbacks
from jobs.models import Callback, CallbackState, Event
from jobs.states import State
from tests.commands.library import make_job
from tests.jobs.making import owe

pytestmark = pytest.mark.django_db
STATES = [state.value for state in CallbackState]


@pytest.fixture(autouse=True)
def one_of_each() -> None:
    """Each state twice: of an event of today, and of three days ago."""
    later = timezone.now() + timedelta(hours=2)
    for state in STATES:
        for age in (0, 3):
            job = make_job(f"{state}{age}", State.COMPLETED)
            row = owe(job, state=state, next_at=later, attempts_made=9)
            at = timezone.now() - timedelta(days=age)
            Event.objects.filter(pk=row.event_id).update(at=at)


def send(*options: str) -> set[str]:
    """The marks of the jobs whose callbacks are due now."""
    out = StringIO()
    call_command("send_callbacks", *options, stdout=out)
    due = {row.job.stem for row in callbacks.due()}
    assert out.getvalue() == f"{len(due)} callbacks are due now; the clerk sends them\n"
    return due


def test_without_an_option_those_that_wait() -> None:
    assert send() == {"waiting0", "waiting3"}


def test_given_up() -> None:
    assert send("--given-up") == {"given_up0", "given_up3"}


def test_since_means_all_but_those_being_sent() -> None:
    since = (timezone.now() - timedelta(days=1)).isoformat()
    assert send("--since", since) == {"waiting0", "sent0", "given_up0"}


def test_options_narrow_each_other() -> None:
    since = (timezone.now() - timedelta(days=1)).isoformat()
    assert send("--since", since, "--given-up") == {"given_up0"}


def test_one_by_its_id() -> None:
    row = Callback.objects.filter(state=CallbackState.SENT).select_related("event", "job")[0]
    assert send("--event-id", str(row.event.message_id)) == {row.job.stem}
    row.refresh_from_db()
    assert (row.attempts_made, row.attempts_before) == (9, 9)


@pytest.mark.parametrize(
    "options",
    [
        ["--event-id", str(uuid.uuid4())],
        ["--event-id", "1"],
        ["--since", "yesterday"],
        ["--since", "2026-13-01T00:00:00Z"],
    ],
)
def test_wrong_options(options: list[str]) -> None:
    with pytest.raises(CommandError):
        call_command("send_callbacks", *options)
