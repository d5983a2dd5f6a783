"""GET /success/list and /failures/list: all records, newest first, for staff."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import QuerySet
from django.http import JsonResponse
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from jobs import names
from jobs.api import auth, schemas
from jobs.api.status import failure_record, success_record
from jobs.errors import BadRequest
from jobs.models import Failure, Success

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
MAX_DIGITS = 18  # that any 64-bit id has room for

_PARAMETERS = [
    OpenApiParameter("limit", int, description=f"1 to {MAX_LIMIT}, default {DEFAULT_LIMIT}"),
    OpenApiParameter("before", int, description="the `next` link of a page carries it"),
    OpenApiParameter("hash", str, description="only this reference, or this SHA-256"),
    OpenApiParameter("subject", str, description="only this subject"),
    OpenApiParameter("since", str, description="RFC 3339, inclusive"),
    OpenApiParameter("until", str, description="RFC 3339, exclusive"),
]


def number(
    request: Request, name: str, default: int | None, most: int, *, least: int = 1
) -> int | None:
    """A whole number among the query's parameters. Raises BadRequest."""
    given = request.query_params.get(name)
    if given is None:
        return default
    whole = given.isascii() and given.isdigit() and len(given) <= MAX_DIGITS
    if not whole or not least <= int(given) <= most:
        meant = f"`{name}` must be a whole number from {least} to {most}"
        raise BadRequest("invalid_parameter", meant, field=name)
    return int(given)


def _in_utc(text: str) -> datetime | None:
    """The moment, None where it is none. Raises ValueError, OverflowError."""
    # A "+" of a time zone that nobody escaped has become a space.
    moment = parse_datetime(text.strip().replace(" ", "+"))
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def moment(request: Request, name: str) -> datetime | None:
    """A time among the query's parameters. Raises BadRequest."""
    given = request.query_params.get(name)
    if given is None:
        return None
    try:
        found = _in_utc(given)
    except (ValueError, OverflowError):  # a zone may lead out of what a datetime can hold
        found = None
    if found is None:
        raise BadRequest(
            "invalid_parameter", f"`{name}` must be a time like 2025-10-15T18:20:56Z", field=name
        )
    return found


def text(request: Request, name: str) -> str | None:
    """A short text among the query's parameters. Raises BadRequest."""
    given = request.query_params.get(name)
    if given is not None and (not given.isprintable() or len(given) > 255):  # noqa: PLR2004
        raise BadRequest("invalid_parameter", f"`{name}` is not usable", field=name)
    return given


def _filters(request: Request, allowed: tuple[str, ...]) -> dict[str, Any]:
    for name in request.query_params:
        if name not in allowed:
            raise BadRequest("unknown_parameter", f"`{name}` is no filter here", field=name)
    found: dict[str, Any] = {
        "timestamp__gte": moment(request, "since"),
        "timestamp__lt": moment(request, "until"),
        "subject": text(request, "subject"),
        "code": text(request, "code") if "code" in allowed else None,
    }
    reference = text(request, "hash")
    if reference is not None:
        if not names.REFERENCE.fullmatch(reference):
            raise BadRequest("invalid_hash", "`hash` must be a reference", field="hash")
        found["reference" if "_" in reference else "reference__sha256"] = reference
    return {key: value for key, value in found.items() if value is not None}


_COMMON = ("limit", "before", "hash", "subject", "since", "until")


def _page(
    request: Request,
    records: QuerySet[Any],
    allowed: tuple[str, ...],
    show: Callable[..., dict[str, Any]],
) -> tuple[list[dict[str, Any]], str | None]:
    """One page and the link to the next; by id, so that new records shift nothing."""
    limit = number(request, "limit", DEFAULT_LIMIT, MAX_LIMIT) or DEFAULT_LIMIT
    before = number(request, "before", None, 2**63 - 1)
    chosen = records.select_related("job").filter(**_filters(request, allowed))
    if before is not None:
        chosen = chosen.filter(pk__lt=before)
    rows = list(chosen.order_by("-pk")[: limit + 1])
    page = [
        {**show(row, row.reference_id, full=True), "job_id": str(row.job.uid)}
        for row in rows[:limit]
    ]
    following = None
    if len(rows) > limit:
        query = {**request.query_params.dict(), "before": rows[limit - 1].pk}
        following = f"{settings.PIXERVE.base_url}{request.path}?{urlencode(query)}"
    return page, following


class SuccessListView(APIView):
    authentication_classes = [auth.AnyToken]

    @extend_schema(
        operation_id="success_list",
        auth=schemas.USER,
        summary="Records of completed jobs, newest first",
        parameters=_PARAMETERS,
        responses={200: schemas.SuccessList, 403: OpenApiResponse(schemas.Problem)},
    )
    def get(self, request: Request) -> JsonResponse:
        auth.require_staff(request)
        page, following = _page(request, Success.objects.all(), _COMMON, success_record)
        return JsonResponse({"success_records": page, "count": len(page), "next": following})


class FailureListView(APIView):
    authentication_classes = [auth.AnyToken]

    @extend_schema(
        operation_id="failure_list",
        auth=schemas.USER,
        summary="Records of failed jobs, newest first",
        parameters=[*_PARAMETERS, OpenApiParameter("code", str, description="only this error")],
        responses={200: schemas.FailureList, 403: OpenApiResponse(schemas.Problem)},
    )
    def get(self, request: Request) -> JsonResponse:
        auth.require_staff(request)
        page, following = _page(request, Failure.objects.all(), (*_COMMON, "code"), failure_record)
        return JsonResponse({"failures": page, "count": len(page), "next": following})
