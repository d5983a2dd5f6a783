"""GET /: health, links, and a place to drop a picture and try a token."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)


@require_safe
def home(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    """The page; its script talks to the public API only."""
    response = render(request, "home.html")
    response["Content-Security-Policy"] = _POLICY
    return response
