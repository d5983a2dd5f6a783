"""What staff can do to jobs and hosted files. Each calls the function that the API calls, and says
what happened."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from delivery.errors import DeliveryError
from jobs import lifecycle
from jobs.admin.base import ReadOnlyAdmin
from jobs.errors import NotFound, Refused
from jobs.models import HostedFile, Job
from jobs.states import FINAL, State

AT_ONCE = 200
MOST_REASONS = 10
T = TypeVar("T", Job, HostedFile)


@dataclass(frozen=True)
class Action(Generic[T]):
    """`verb` raises Refused or DeliveryError; `suits` says whether a page offers it."""

    name: str
    label: str
    done: str
    verb: Callable[[T], object]
    suits: Callable[[T], bool]
    warning: str = ""
    noun: str = "job"


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


def _delete_file(file: HostedFile) -> None:
    if not lifecycle.delete_hosted(file):
        raise NotFound("not_found", "it was replaced or deleted meanwhile")


DELETE_FILES = Action(
    "delete-files",
    "Delete",
    "Deleted",
    _delete_file,
    lambda _: True,
    warning="They disappear from /files/ at once and cannot be brought back.",
    noun="file",
)


def title(thing: Job | HostedFile) -> str:
    """What people call it."""
    return thing.path if isinstance(thing, HostedFile) else thing.upload_name or "unnamed"


def _named(thing: Job | HostedFile) -> str:
    if isinstance(thing, HostedFile):
        return thing.path
    return f"{thing.upload_name} ({thing.reference_id[:12]}…)"


def perform(request: HttpRequest, action: Action[T], chosen: Iterable[T]) -> None:
    """Do it to each; one message for what worked, one for each that refused."""
    things = list(chosen)
    refusals: list[str] = []
    for each in things:
        try:
            action.verb(each)
        except (Refused, DeliveryError) as refused:
            refusals.append(f"{_named(each)}: {refused.message}")
    if done := len(things) - len(refusals):
        messages.success(request, f"{action.done} {done} {action.noun}{'s' if done > 1 else ''}.")
    for reason in refusals[:MOST_REASONS]:
        messages.warning(request, reason)
    if (more := len(refusals) - MOST_REASONS) > 0:
        messages.warning(request, f"{more} more {action.noun}s refused.")


def on_many(
    frame: ReadOnlyAdmin, request: HttpRequest, action: Action[T], chosen: "QuerySet[T]"
) -> HttpResponse | None:
    """An action of a list."""
    things = list(chosen[: AT_ONCE + 1])
    if len(things) > AT_ONCE:
        messages.error(request, f"Choose at most {AT_ONCE} {action.noun}s at a time.")
        return None
    again = {
        "action": [request.POST["action"]],
        ACTION_CHECKBOX_NAME: [str(each.pk) for each in things],
    }
    return ask_or_perform(frame, request, action, things, again=again, back=request.get_full_path())


def ask_or_perform(
    frame: ReadOnlyAdmin,
    request: HttpRequest,
    action: Action[T],
    things: list[T],
    *,
    again: Mapping[str, list[str]],
    back: str,
) -> HttpResponse | None:
    """Do it, or ask first where it cannot be undone; the answer brings `again` back."""
    if not action.warning or "confirmed" in request.POST:
        perform(request, action, things)
        return None
    return frame.page(
        request,
        "admin/jobs/confirm.html",
        title=f"{action.label}?",
        action=action,
        names=[(title(each), each.subject if isinstance(each, Job) else "") for each in things],
        fields=[(name, value) for name, values in again.items() for value in values],
        back=back,
    )
