"""GET /status, DELETE /cancel, GET /success and GET /failures: what became of one upload."""

import json
from datetime import UTC, datetime
from typing import Any

from django.http import JsonResponse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from jobs import deliveries, lifecycle, links
from jobs.api import auth, schemas
from jobs.api.lookup import find, look_up, reference_of
from jobs.errors import NotFound
from jobs.models import Failure, Job, Success
from jobs.states import State

NOT_FOUND = {
    "success": "No success record found for this hash",
    "failures": "No record found for this hash",
}
STILL = {
    State.CREATED: "File is accepted and waits to be started",
    State.PENDING: "File is waiting to be processed",
    State.PROCESSING: "File is being processed",
    State.CANCELLED: "Job was cancelled before processing",
}


def rfc3339(moment: datetime | None) -> str | None:
    """`2025-10-15T18:20:56Z`."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def describe(job: Job, *, full: bool, signed: bool) -> dict[str, Any]:
    """A job as /status shows it; `full` for its owner and staff, and for all where the operator
    says so. Only owner and staff get `signed` links to what is private."""
    shown: dict[str, Any] = {
        "hash": job.reference_id,
        "state": job.state,
        "status": job.state,
        "stage": job.stage or None,
        "job_id": str(job.uid),
        "created_at": rfc3339(job.created_at),
        "updated_at": rfc3339(job.updated_at),
        "finished_at": rfc3339(job.finished_at),
        "progress": {"done": job.done, "total": job.total},
    }
    if job.state == State.FAILED:
        shown["error"] = (
            {"code": job.error_code, "message": job.error_message} if full else job.error_code
        )
    if full:
        shown |= {
            "warnings": job.warnings,
            "timings": job.timings,
            "attempts": job.attempts,
            "files": _files(job, signed=signed),
            "deliveries": _deliveries(job, signed=signed) if job.spec.get("storageKeys") else [],
        }
    return shown


def _files(job: Job, *, signed: bool) -> list[dict[str, Any]]:
    hosted = {each.path: each for each in job.hosted_files.all()}
    return [
        {
            "name": each.name,
            "format": each.format,
            "width": each.width,
            "height": each.height,
            "bytes": each.bytes,
            "sha256": each.sha256,
            "superseded": each.superseded,
            "url": links.hosted_url(hosted.get(each.key), signed=signed),
        }
        for each in job.renditions.order_by("id")
    ]


def _deliveries(job: Job, *, signed: bool) -> list[dict[str, Any]]:
    """Each rendition at each storage, with a link that works for the reader."""
    rows = list(deliveries.of(job).select_related("rendition"))
    urls = links.object_urls(job, rows, signed=signed)
    return [
        {
            **deliveries.tell(each),
            "attempts": each.attempts,
            "next_attempt_at": rfc3339(each.next_at) if each.state == "waiting" else None,
            "delivered_at": rfc3339(each.delivered_at),
            "url": urls.get(each.pk),
        }
        for each in rows
    ]


class StatusView(APIView):
    authentication_classes = [auth.AnyToken]

    @extend_schema(
        operation_id="status",
        auth=schemas.ANYONE_OR_EITHER,
        summary="What became of an upload",
        parameters=[schemas.HASH],
        responses={200: schemas.Status, 404: OpenApiResponse(schemas.Problem)},
    )
    def get(self, request: Request) -> JsonResponse:
        _, job, full = look_up(request)
        if job is None:
            raise NotFound("unknown_hash", "no job is known by this hash", field="hash")
        who = auth.caller(request)
        signed = who is not None and who.owns(job.subject)
        return JsonResponse(describe(job, full=full, signed=signed))


class CancelView(APIView):
    authentication_classes = [auth.AnyToken]

    @extend_schema(
        operation_id="cancel",
        auth=schemas.EITHER,
        summary="Take back a job that no worker has begun",
        parameters=[schemas.HASH],
        responses={
            200: schemas.Cancelled,
            **{code: OpenApiResponse(schemas.Problem) for code in (401, 404, 409)},
        },
    )
    def delete(self, request: Request) -> JsonResponse:
        who = auth.required(request)
        job = find(reference_of(request), who)
        if job is None or not who.owns(job.subject):
            raise NotFound("unknown_hash", "you have no job by this hash", field="hash")
        lifecycle.cancel(job)
        return JsonResponse(
            {
                "hash": job.reference_id,
                "state": State.CANCELLED,
                "message": "Job cancelled successfully",
            }
        )


def _not_found(reference: str, where: str) -> JsonResponse:
    return JsonResponse({"hash": reference, "status": "not_found", "message": NOT_FOUND[where]})


def job_data(record: Success | Failure, *, full: bool) -> str:
    """The instructions as a JSON string; `{}` for those who may not see them."""
    return json.dumps(record.job_data if full else {})


def success_record(record: Success, reference: str, *, full: bool) -> dict[str, Any]:
    return {
        "hash": reference,
        "status": "success",
        "timestamp": rfc3339(record.timestamp),
        "file_count": record.file_count,
        "job_data": job_data(record, full=full),
    }


def failure_record(record: Failure, reference: str, *, full: bool) -> dict[str, Any]:
    return {
        "hash": reference,
        "status": "failed",
        "timestamp": rfc3339(record.timestamp),
        "error": f"{record.code}: {record.message}" if full else record.code,
        "job_data": job_data(record, full=full),
    }


class SuccessView(APIView):
    authentication_classes = [auth.AnyToken]

    @extend_schema(
        operation_id="success",
        auth=schemas.ANYONE_OR_EITHER,
        summary="The record of a completed job",
        parameters=[schemas.HASH],
        responses={200: schemas.SuccessRecord},
    )
    def get(self, request: Request) -> JsonResponse:
        reference, job, full = look_up(request)
        record = job.successes.first() if job and job.state == State.COMPLETED else None
        if job is None or record is None:
            return _not_found(reference, "success")
        return JsonResponse(success_record(record, job.reference_id, full=full))


class FailureView(APIView):
    authentication_classes = [auth.AnyToken]

    @extend_schema(
        operation_id="failure",
        auth=schemas.ANYONE_OR_EITHER,
        summary="The record of a failed job, or that there is none",
        parameters=[schemas.HASH],
        responses={200: schemas.FailureRecord},
    )
    def get(self, request: Request) -> JsonResponse:
        reference, job, full = look_up(request)
        if job is None:
            return _not_found(reference, "failures")
        name = job.reference_id
        if job.state == State.COMPLETED:
            message = "File processed successfully"
            return JsonResponse({"hash": name, "status": "success", "message": message})
        record = job.failures.first() if job.state == State.FAILED else None
        if record is None:
            message = STILL[State(job.state)]
            return JsonResponse({"hash": name, "status": job.state, "message": message})
        return JsonResponse(failure_record(record, name, full=full))
