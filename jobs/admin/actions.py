"""What staff can do to jobs. Each calls the function that the API calls, and says what happened."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest

from jobs import lifecycle
from jobs.errors import Refused
from jobs.models import Job
from jobs.states import FINAL, State

MOST_JOBS = 200
MOST_REASONS = 10


@dataclass(frozen=True)
class Action:
    """`verb` raises Refused; `suits` says whether the job's page offers it."""

    name: str
    label: str
    done: str
    verb: Callable[[Job], object]
    suits: Callable[[Job], bool]
    warning: str = ""


CANCEL = Action(
    "cancel",
    "Cancel",
    "Cancelled",
    lifecycle.cancel,
    lambda job: job.state in {State.CREATED, State.PENDING},
)
REPLAY = Action(
    "replay",
    "Replay",
    "Put back into the queue",
    lifecycle.replay,
    lambda job: job.state == State.FAILED and job.has_source,
)
DELETE_OUTPUTS = Action(
    "delete-outputs",
    "Delete outputs",
    "Deleted the outputs of",
    lifecycle.delete_outputs,
    lambda job: job.state in FINAL and job.hosted_files.exists(),
    warning="The files disappear from /files/ at once and cannot be brought back. Files that a"
    " newer job has replaced stay.",
)
ACTIONS = {action.name: action for action in (CANCEL, REPLAY, DELETE_OUTPUTS)}


def perform(request: HttpRequest, action: Action, jobs: Iterable[Job]) -> None:
    """Do it to each job; one message for what worked, one for each job that refused."""
    chosen = list(jobs)
    refusals: list[str] = []
    for job in chosen:
        try:
            action.verb(job)
        except Refused as refused:
            refusals.append(f"{job.upload_name} ({job.reference_id[:12]}…): {refused.message}")
    if done := len(chosen) - len(refusals):
        messages.success(request, f"{action.done} {done} job{'s' if done > 1 else ''}.")
    for reason in refusals[:MOST_REASONS]:
        messages.warning(request, reason)
    if (more := len(refusals) - MOST_REASONS) > 0:
        messages.warning(request, f"{more} more jobs refused.")
