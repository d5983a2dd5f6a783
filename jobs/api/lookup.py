"""From `?hash=` and a caller to a job.

With an upload token the hash means the caller's newest job with that content; without one, and for
staff, it is the exact reference.
"""

from django.conf import settings
from rest_framework.request import Request

from jobs import names
from jobs.api.auth import Caller, caller, require_staff
from jobs.errors import BadRequest
from jobs.models import Job

FULL, OFF = "full", "off"  # of PIXERVE_ANONYMOUS_STATUS


def reference_of(request: Request) -> str:
    """The `hash` parameter. Raises BadRequest where it is none."""
    given = request.query_params.get("hash", "")
    if not names.REFERENCE.fullmatch(given):
        raise BadRequest(
            "invalid_hash",
            "`hash` must be the `hash` that an upload was answered with",
            field="hash",
        )
    return given


def find(reference: str, who: Caller | None) -> Job | None:
    """The newest job that `who` means by `reference`."""
    jobs = Job.objects.order_by("-id")
    if who is not None and who.subject is not None:
        mine = jobs.filter(subject=who.subject)
        found = mine.filter(sha256=reference).first() if "_" not in reference else None
        return found or mine.filter(reference=reference).first()
    return jobs.filter(reference=reference).first()


def sees_all(job: Job, who: Caller | None) -> bool:
    """Whether the caller is shown everything about a job."""
    owns = who is not None and who.owns(job.subject)
    return owns or settings.PIXERVE.anonymous_status == FULL


def look_up(request: Request) -> tuple[str, Job | None, bool]:
    """The reference asked for, its job, and whether the caller may see all of it.

    Raises BadRequest, Unauthorized, Forbidden.
    """
    who = caller(request)
    reference = reference_of(request)
    if settings.PIXERVE.anonymous_status == OFF and (who is None or who.subject is None):
        require_staff(request)
    job = find(reference, who)
    return reference, job, job is not None and sees_all(job, who)
