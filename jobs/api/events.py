"""GET /v1/events: how jobs ended, in order; POST /v1/callbacks/{id}/replay: tell it once more."""

import uuid
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import JsonResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from jobs import callbacks
from jobs.api import auth, schemas
from jobs.api.records import DEFAULT_LIMIT, MAX_LIMIT, number
from jobs.api.status import rfc3339
from jobs.api.throttling import Replays
from jobs.errors import BadRequest, Conflict, NotFound
from jobs.models import Callback, Event

MAX_ID = 2**63 - 1


def _shown(event: Event) -> dict[str, Any]:
    return {
        "id": event.pk,
        "message_id": str(event.message_id),
        "type": event.type,
        "at": rfc3339(event.at),
        "subject": event.subject,
        "job_id": str(event.job.uid),
        "callback": _told(event),
        "data": event.payload,
    }


def _told(event: Event) -> dict[str, Any] | None:
    try:
        callback = event.callback
    except Callback.DoesNotExist:
        return None
    return {"state": callback.state, "attempts": callback.attempts_made}


class EventsView(APIView):
    authentication_classes = [auth.AnyToken]

    @extend_schema(
        operation_id="events",
        auth=schemas.EITHER,
        summary="How jobs ended, oldest first: a subject's own, and all for staff",
        parameters=[
            OpenApiParameter("after", int, description="the `cursor` of the last answer"),
            OpenApiParameter("limit", int, description=f"1 to {MAX_LIMIT}, or {DEFAULT_LIMIT}"),
        ],
        responses={200: schemas.Events, 403: OpenApiResponse(schemas.Problem)},
    )
    def get(self, request: Request) -> JsonResponse:
        who = auth.required(request)
        after, limit = _asked(request)
        rows = Event.objects.filter(pk__gt=after).select_related("job", "callback").order_by("pk")
        if who.subject is None:
            auth.require_staff(request)
        else:
            rows = rows.filter(subject=who.subject)
        found = list(rows[: limit + 1])
        page = found[:limit]
        cursor = page[-1].pk if page else after
        query = urlencode({"after": cursor, "limit": limit})
        following = f"{settings.PIXERVE.base_url}{request.path}?{query}"
        return JsonResponse(
            {
                "events": [_shown(event) for event in page],
                "count": len(page),
                "cursor": cursor,
                "next": following if len(found) > limit else None,
            }
        )


def _asked(request: Request) -> tuple[int, int]:
    """`after` and `limit`. Raises BadRequest."""
    for name in request.query_params:
        if name not in {"after", "limit"}:
            raise BadRequest("unknown_parameter", f"`{name}` is no filter here", field=name)
    after = number(request, "after", 0, MAX_ID, least=0)
    return after or 0, number(request, "limit", DEFAULT_LIMIT, MAX_LIMIT) or DEFAULT_LIMIT


class ReplayView(APIView):
    authentication_classes = [auth.AnyToken]
    throttle_classes = [Replays]

    @extend_schema(
        operation_id="callback_replay",
        auth=schemas.EITHER,
        summary="Send a callback once more, under the same webhook-id",
        request=None,
        responses={
            202: schemas.Replayed,
            404: OpenApiResponse(schemas.Problem),
            409: OpenApiResponse(schemas.Problem),
            429: OpenApiResponse(schemas.Problem),
        },
    )
    def post(self, request: Request, message_id: uuid.UUID) -> JsonResponse:
        who = auth.required(request)
        rows = Callback.objects.filter(event__message_id=message_id)
        if who.subject is None:
            auth.require_staff(request)
        else:
            rows = rows.filter(job__subject=who.subject)
        if not rows.exists():
            raise NotFound("unknown_callback", "there is no such callback, or it is not yours")
        if not callbacks.replay(rows):
            raise Conflict("callback_sending", "it is being sent at this moment")
        return JsonResponse({"message_id": str(message_id), "state": "waiting"}, status=202)
