"""What stands in front of every view: who the client is, how it writes, the net for exceptions."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, HttpResponseNotAllowed

from jobs.api.clients import plain_address
from jobs.api.problems import method_not_allowed, problem, refusal_of

Next = Callable[[HttpRequest], HttpResponseBase]


def _trusted(address: str) -> bool:
    parsed = plain_address(address)
    return parsed is not None and any(
        parsed in network for network in settings.PIXERVE.trusted_proxies
    )


class TrustedProxyMiddleware:
    """Takes the client's address and scheme from a proxy listed in `PIXERVE_TRUSTED_PROXIES`.

    X-Forwarded-For is read from the right: each proxy appends whom it heard from, so the first
    address that is no proxy of ours is the client, and what stands left of it is hearsay. From
    anybody else these headers mean nothing.
    """

    def __init__(self, get_response: Next) -> None:
        self._next = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        forwarded = request.META.pop("HTTP_X_FORWARDED_FOR", "")
        scheme = request.META.pop("HTTP_X_FORWARDED_PROTO", "")
        if _trusted(request.META.get("REMOTE_ADDR", "")):
            self._believe(request, forwarded, scheme)
        return self._next(request)

    def _believe(self, request: HttpRequest, forwarded: str, scheme: str) -> None:
        heard = [part.strip() for part in forwarded.split(",") if part.strip()]
        client = next((each for each in reversed(heard) if not _trusted(each)), None)
        if client is not None:
            request.META["REMOTE_ADDR"] = client
        if scheme.strip().lower() == "https":
            request.META["wsgi.url_scheme"] = "https"
            request.environ["wsgi.url_scheme"] = "https"  # type: ignore[attr-defined]


# What load balancers and monitors ask each host for, by its address.
PROBES = frozenset({"/livez", "/readyz", "/healthz"})


class ProbeMiddleware:
    """Answers probes whatever their `Host`: it is the address of one host, and no name of the site.

    Nothing in these answers comes from it.
    """

    def __init__(self, get_response: Next) -> None:
        self._next = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path in PROBES:
            request.META["HTTP_HOST"] = "localhost"
        return self._next(request)


def _is_admin(request: HttpRequest) -> bool:
    return request.path.startswith("/admin/")


class Utf8Middleware:
    """Reads queries and forms as UTF-8, whatever charset Content-Type names.

    Django would take any codec of Python's by that name; some are none for text (`hex`) and others
    raise on what they cannot read, which made a fault of ours from a header of anybody's.
    """

    def __init__(self, get_response: Next) -> None:
        self._next = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.encoding = "utf-8"
        return self._next(request)


class ProblemMiddleware:
    """Refusals of plain Django views, as the API answers them."""

    def __init__(self, get_response: Next) -> None:
        self._next = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._next(request)
        if isinstance(response, HttpResponseNotAllowed) and not _is_admin(request):
            return method_not_allowed(request, response["Allow"])
        return response

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponseBase | None:
        if _is_admin(request):
            return None
        refused = refusal_of(exception)
        return problem(refused) if refused else None
