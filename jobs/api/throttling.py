"""Limits per client address, `PIXERVE_RATE_LIMIT`: where passwords can be guessed, and where a call
makes this server call somebody else."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from jobs.api.clients import client
from jobs.api.problems import problem, too_many_requests


class Attempts(SimpleRateThrottle):
    """Counts attempts by address, over all such doors together."""

    scope = "attempts"

    def get_rate(self) -> str | None:
        rate: str = settings.PIXERVE.rate_limit
        return None if rate == "off" else rate

    def get_cache_key(self, request: Request | HttpRequest, view: Any) -> str:
        # TrustedProxyMiddleware has already put the client's own address here.
        return f"{self.scope}:{client(request.META.get('REMOTE_ADDR', ''))}"


class Replays(Attempts):
    """The same number of replays, counted by themselves: they lock nobody out."""

    scope = "replays"


def limited(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """The same limit for a plain Django view; only what posts counts."""

    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        throttle = Attempts()
        if request.method == "POST" and not throttle.allow_request(request, APIView()):  # type: ignore[arg-type]
            return problem(too_many_requests(throttle.wait()))
        return view(request, *args, **kwargs)

    return checked
