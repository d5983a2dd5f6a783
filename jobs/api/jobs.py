"""/v1/jobs: jobs listed and explained; the failed ones replayed, one or many.

A subject's token finds the subject's own jobs, staff find all.
"""

import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import QuerySet
from django.http import JsonResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from jobs import dead_letters, lifecycle, names
from jobs.advice import advice
from jobs.api import auth, schemas
from jobs.api.records import DEFAULT_LIMIT, MAX_LIMIT, moment, number, text
from jobs.api.status import describe, rfc3339
from jobs.errors import BadRequest, NotFound
from jobs.models import Job
from jobs.states import State

MOST_FAILURES = 20
CHOICE = ("code", "hash", "subject", "since", "until")

_CHOICE = [
    OpenApiParameter("code", str, description="only jobs that failed with this error code"),
    OpenApiParameter("hash", str, description="only this reference, or this SHA-256"),
    OpenApiParameter("subject", str, description="only this subject, for staff"),
    OpenApiParameter("since", str, description="ended since then: RFC 3339, inclusive"),
    OpenApiParameter("until", str, description="ended before then: RFC 3339, exclusive"),
]
_LIMIT = OpenApiParameter("limit", int, description=f"1 to {MAX_LIMIT}, default {DEFAULT_LIMIT}")
_PROBLEM = OpenApiResponse(schemas.Problem)


def _visible(request: Request) -> QuerySet[Job]:
    """The jobs that the caller may know of. Raises Unauthorized, Forbidden."""
    who = auth.required(request)
    if who.subject is None:
        auth.require_staff(request)
        return Job.objects.all()
    return Job.objects.filter(subject=who.subject)


def _filters(request: Request, allowed: Sequence[str]) -> dict[str, Any]:
    """What the query asks for. Raises BadRequest."""
    for name in request.query_params:
        if name not in allowed:
            raise BadRequest("unknown_parameter", f"`{name}` is no filter here", field=name)
    state = text(request, "state")
    if state is not None and state not in State.values:
        known = ", ".join(State.values)
        raise BadRequest("invalid_parameter", f"`state` is one of {known}", field="state")
    found: dict[str, Any] = {
        "state": state,
        "error_code": text(request, "code"),
        "subject": text(request, "subject"),
        "finished_at__gte": moment(request, "since"),
        "finished_at__lt": moment(request, "until"),
    }
    reference = text(request, "hash")
    if reference is not None:
        if not names.REFERENCE.fullmatch(reference):
            raise BadRequest("invalid_hash", "`hash` must be a reference", field="hash")
        found["reference" if "_" in reference else "sha256"] = reference
    return {key: value for key, value in found.items() if value is not None}


def _limit(request: Request) -> int:
    return number(request, "limit", DEFAULT_LIMIT, MAX_LIMIT) or DEFAULT_LIMIT


def _brief(job: Job, failures: int) -> dict[str, Any]:
    """A job as the list shows it."""
    waits = job.state == State.PENDING and job.run_after > timezone.now()
    return {
        "job_id": str(job.uid),
        "hash": job.reference_id,
        "subject": job.subject,
        "upload_name": job.upload_name,
        "state": job.state,
        "stage": job.stage or None,
        "priority": job.priority,
        "created_at": rfc3339(job.created_at),
        "updated_at": rfc3339(job.updated_at),
        "finished_at": rfc3339(job.finished_at),
        "next_attempt_at": rfc3339(job.run_after) if waits else None,
        "progress": {"done": job.done, "total": job.total},
        "attempts": job.attempts,
        "lost_workers": job.lost_leases,
        "failures": failures,
        "error": _error(job) if job.state == State.FAILED else None,
    }


def _error(job: Job) -> dict[str, Any]:
    until = dead_letters.kept_until(job)
    return {
        "code": job.error_code,
        "message": job.error_message,
        "advice": advice(job.error_code, replayable=job.has_source),
        "replayable": job.has_source,
        "replayable_until": rfc3339(until),
    }


class JobsView(APIView):
    authentication_classes = [auth.AnyToken]

    @extend_schema(
        operation_id="jobs",
        auth=schemas.EITHER,
        summary="Jobs, newest first: a subject's own, and all for staff",
        parameters=[
            OpenApiParameter("state", str, enum=State.values),
            *_CHOICE,
            _LIMIT,
            OpenApiParameter("before", int, description="the `next` link of a page carries it"),
        ],
        responses={200: schemas.Jobs, 400: _PROBLEM, 403: _PROBLEM},
    )
    def get(self, request: Request) -> JsonResponse:
        rows = _visible(request).filter(**_filters(request, ("state", *CHOICE, "limit", "before")))
        limit = _limit(request)
        before = number(request, "before", None, 2**63 - 1)
        if before is not None:
            rows = rows.filter(pk__lt=before)
        found = list(rows.order_by("-pk")[: limit + 1])
        page = found[:limit]
        often = dead_letters.times_failed(page)
        following = None
        if len(found) > limit:
            query = {**request.query_params.dict(), "before": page[-1].pk}
            following = f"{settings.PIXERVE.base_url}{request.path}?{urlencode(query)}"
        shown = [_brief(job, often.get(job.pk, 0)) for job in page]
        return JsonResponse({"jobs": shown, "count": len(shown), "next": following})


def _one(request: Request, job_id: uuid.UUID) -> Job:
    """Raises NotFound for a job that is not there, or not the caller's."""
    job = _visible(request).filter(uid=job_id).first()
    if job is None:
        raise NotFound("unknown_job", "there is no such job, or it is not yours")
    return job


class JobView(APIView):
    authentication_classes = [auth.AnyToken]

    @extend_schema(
        operation_id="job",
        auth=schemas.EITHER,
        summary="One job with its files, deliveries and failures",
        responses={200: schemas.Job, 404: _PROBLEM},
    )
    def get(self, request: Request, job_id: uuid.UUID) -> JsonResponse:
        job = _one(request, job_id)
        failures = list(job.failures.order_by("-id")[:MOST_FAILURES])
        shown = {
            **describe(job, full=True, signed=True),
            **_brief(job, job.failures.count()),
            "failure_records": [
                {"at": rfc3339(each.timestamp), "code": each.code, "message": each.message}
                for each in failures
            ],
        }
        return JsonResponse(shown)


class ReplayJobView(APIView):
    authentication_classes = [auth.AnyToken]

    @extend_schema(
        operation_id="job_replay",
        auth=schemas.EITHER,
        summary="Run a failed job again from what is kept",
        request=None,
        responses={
            202: schemas.JobReplayed,
            **dict.fromkeys((404, 409, 410), _PROBLEM),
        },
    )
    def post(self, request: Request, job_id: uuid.UUID) -> JsonResponse:
        job = _one(request, job_id)
        lifecycle.replay(job)
        answer = {"job_id": str(job.uid), "hash": job.reference_id, "state": State.PENDING}
        return JsonResponse(answer, status=202)


class ReplayJobsView(APIView):
    authentication_classes = [auth.AnyToken]

    @extend_schema(
        operation_id="jobs_replay",
        auth=schemas.EITHER,
        summary="Run many failed jobs again, those that failed first in front",
        parameters=[*_CHOICE, _LIMIT],
        request=None,
        responses={202: schemas.JobsReplayed, 400: _PROBLEM},
    )
    def post(self, request: Request) -> JsonResponse:
        mine = _visible(request).filter(**_filters(request, (*CHOICE, "limit")))
        rows = dead_letters.replayable().filter(pk__in=mine.values("pk"))
        replayed = dead_letters.replay(list(rows[: _limit(request)]))
        refused = [
            {"job_id": str(job.uid), "code": reason.code, "detail": reason.message}
            for job, reason in replayed.refused
        ]
        answer = {"replayed": replayed.done, "refused": refused, "left": rows.count()}
        return JsonResponse(answer, status=202)
