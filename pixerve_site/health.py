"""Is it alive, is it ready, what is it."""

import platform
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.http import JsonResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from delivery.errors import DeliveryError
from encoders.sandbox import powers
from jobs import bells, bucket, queue, staging, storages
from jobs.api import auth, schemas
from jobs.errors import BadRequest
from pixerve_site import version

BUCKET_ASKED_EVERY_S = 5.0
STARTED = datetime.now(UTC)
_started = time.monotonic()


def uptime_s() -> float:
    """Seconds since this process started, whatever the clock did meanwhile."""
    return time.monotonic() - _started


def uptime(seconds: float) -> str:
    """`Xd Yh Zm Ws`."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    return f"{day}d {hour}h {minute}m {second}s"


class HealthView(APIView):
    @extend_schema(operation_id="health", summary="Healthy, since when", responses=schemas.Health)
    def get(self, request: Request) -> JsonResponse:
        return JsonResponse(
            {
                "status": "healthy",
                "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
                "version": version.VERSION,
                "uptime": uptime(uptime_s()),
                "start_time": STARTED.isoformat(timespec="seconds"),
            }
        )


class HealthzView(APIView):
    @extend_schema(operation_id="healthz", summary="Healthy, in short", responses=schemas.Ok)
    def get(self, request: Request) -> JsonResponse:
        return JsonResponse({"status": "ok"})


class LivezView(APIView):
    @extend_schema(operation_id="livez", summary="The process answers", responses=schemas.Ok)
    def get(self, request: Request) -> JsonResponse:
        return JsonResponse({"status": "ok"})


def _check_database() -> dict[str, Any]:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return {"ok": False, "detail": type(error).__name__}
    return {"ok": True}


def _check_queue() -> dict[str, Any]:
    limit = settings.PIXERVE.ready_queue_age
    try:
        oldest = queue.oldest_wait()
    except DatabaseError as error:
        return {"ok": False, "detail": type(error).__name__}
    age = (timezone.now() - oldest).total_seconds() if oldest else 0.0
    return {"ok": age <= limit, "oldest_s": round(max(0.0, age), 1), "limit_s": limit}


def _check_staging() -> dict[str, Any]:
    limit = settings.PIXERVE.ready_free_bytes
    try:
        free = staging.free_bytes()
    except OSError as error:
        return {"ok": False, "detail": type(error).__name__}
    found = {"ok": free >= limit, "free_bytes": free, "limit_bytes": limit}
    if bucket.in_use():
        found["bucket"] = _bucket_answers()
        found["ok"] = found["ok"] and found["bucket"]
    return found


_asked: tuple[float, bool] = (-BUCKET_ASKED_EVERY_S, False)


def _bucket_answers() -> bool:
    """Whether the bucket is there; asked now and then only, as anybody may ask us."""
    global _asked  # noqa: PLW0603 - what was heard last
    if time.monotonic() >= _asked[0] + BUCKET_ASKED_EVERY_S:
        try:
            with bucket.opened() as opened:
                opened.exists(f"{bucket.STAGING}/ready")
        except DeliveryError:
            _asked = (time.monotonic(), False)
        else:
            _asked = (time.monotonic(), True)
    return _asked[1]


def look_at_bucket() -> None:
    """Have the log say at the start, and not at the first upload, that the bucket does not answer.

    Nobody waits for it: a server whose bucket is away comes up all the same.
    """
    if bucket.in_use():
        threading.Thread(target=_bucket_answers, name="bucket", daemon=True).start()


def readiness() -> dict[str, dict[str, Any]]:
    """Each thing that must be well before this server should get work, with its figures."""
    return {
        "database": _check_database(),
        "queue": _check_queue(),
        "staging": _check_staging(),
    }


def _excluded(request: Request, known: Iterable[str]) -> set[str]:
    """The checks that the caller does not want to be judged by; the parameter is Kubernetes' own.

    Raises BadRequest.
    """
    names = set(request.query_params.getlist("exclude"))
    if strangers := names.difference(known):
        raise BadRequest(
            "invalid_parameter",
            f"exclude: there is no check {sorted(strangers)[0]!r}; there are {', '.join(known)}",
            field="exclude",
        )
    return names


class ReadyzView(APIView):
    authentication_classes = [auth.AnyToken]

    @extend_schema(
        operation_id="readyz",
        auth=schemas.ANYONE_OR_EITHER,
        summary="Ready for work; staff see why not",
        parameters=[
            OpenApiParameter(
                "exclude",
                many=True,
                enum=("database", "queue", "staging"),
                description="checks that do not count",
            )
        ],
        responses={200: schemas.Ready, 503: schemas.Ready},
    )
    def get(self, request: Request) -> JsonResponse:
        checks = readiness()
        excluded = _excluded(request, known=checks)
        ready = all(check["ok"] for name, check in checks.items() if name not in excluded)
        answer: dict[str, Any] = {"status": "ok" if ready else "not ready"}
        who = auth.caller(request)
        if who is not None and who.is_staff:
            answer["checks"] = checks
            # A storage that is down makes this server no less ready: its deliveries wait.
            answer["storages"] = storages.describe() if checks["database"]["ok"] else {}
            # Without Redis jobs start a second later, no more.
            answer["redis"] = bells.others_answer()
            answer["sandbox"] = asdict(powers())
        return JsonResponse(answer, status=200 if ready else 503)


class VersionView(APIView):
    @extend_schema(operation_id="version", summary="What is running", responses=schemas.Version)
    def get(self, request: Request) -> JsonResponse:
        return JsonResponse(
            {
                "version": version.VERSION,
                "build_time": version.build_time(),
                "git_commit": version.git_commit(),
                "python_version": platform.python_version(),
                "imagemagick_version": version.imagemagick_version(),
            }
        )
