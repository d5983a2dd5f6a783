"""GET and HEAD /files/{path}: hosted files, with the caching and ranges of RFC 9110.

The ETag is the content's SHA-256. Files may change (a newer job of the same subject replaces them),
so caches keep them but ask again. A private file needs a link that `jobs.links` signed.
With `PIXERVE_SENDFILE` the proxy in front sends the bytes; with `PIXERVE_STAGING_FILES=redirect`
the bucket does.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import http_date, parse_http_date_safe
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from delivery.backends.errors import NoObject
from delivery.errors import DeliveryError, HostingFailed, NotHosted
from jobs import hosted_reading, links
from jobs.api.problems import problem
from jobs.errors import Forbidden, NotFound, RangeNotSatisfiable, Unavailable
from jobs.models import HostedFile

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_LOOKS = 3  # at a file that is replaced again and again
_HEADERS = {
    "Cache-Control": "public, no-cache",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Accept-Ranges": "bytes",
}


def _range(request: HttpRequest, row: HostedFile, modified: int) -> tuple[int, int] | None:
    """The one range asked for as (first, last), possibly unsatisfiable; None to send everything."""
    match = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if match is None or match.groups() == ("", ""):
        return None
    condition = request.headers.get("If-Range")
    if condition and condition != f'"{row.sha256}"' and parse_http_date_safe(condition) != modified:
        return None
    first, last = match.groups()
    if not first:
        return max(0, row.bytes - int(last)), row.bytes - 1
    return int(first), min(int(last), row.bytes - 1) if last else row.bytes - 1


def _out_of_range(row: HostedFile) -> HttpResponse:
    refused = RangeNotSatisfiable("range_not_satisfiable", f"the file has {row.bytes} bytes")
    response = problem(refused)
    response["Content-Range"] = f"bytes */{row.bytes}"
    return response


def _body(request: HttpRequest, found: hosted_reading.Found, modified: int) -> HttpResponseBase:
    row = found.row
    wanted = _range(request, row, modified)
    if wanted is None:
        first, last, status = 0, row.bytes - 1, 200
    else:
        first, last = wanted
        status = 206
    if wanted is not None and (first > last or first >= row.bytes):
        found.close()
        return _out_of_range(row)
    length = last - first + 1
    if request.method == "HEAD":
        found.close()
        response: HttpResponseBase = HttpResponse(status=status)
    else:
        response = FileResponse(found.read(first, length), status=status)
        response.block_size = hosted_reading.CHUNK
    response["Content-Length"] = str(length)
    if status == 206:  # noqa: PLR2004
        response["Content-Range"] = f"bytes {first}-{last}/{row.bytes}"
    return response


def _by_proxy(path: str) -> HttpResponse | None:
    """An empty answer that tells the proxy in front which file to send, where one is set up."""
    mode = settings.PIXERVE.sendfile
    if mode == "off":
        return None
    if mode == "x-sendfile":
        return HttpResponse(headers={"X-Sendfile": str(Path(settings.PIXERVE.serve_dir) / path)})
    return HttpResponse(headers={"X-Accel-Redirect": mode.removeprefix("x-accel:") + quote(path)})


def _by_bucket(request: HttpRequest, found: hosted_reading.Found) -> HttpResponse | None:
    """A link to the bucket, where that is how files are given; the link is for GET only."""
    link = found.link() if request.method == "GET" else None
    if link is None:
        return None
    # A link ends, so nobody may keep this answer.
    return HttpResponse(status=302, headers={"Location": link, "Cache-Control": "no-store"})


@contextmanager
def _closed_on_error(found: hosted_reading.Found) -> Iterator[None]:
    try:
        yield
    except BaseException:
        found.close()
        raise


def _answer(request: HttpRequest, path: str, found: hosted_reading.Found) -> HttpResponseBase:
    row = found.row
    if row.private and (refused := _refusal(request, path)):
        found.close()
        return refused
    etag = f'"{row.sha256}"'
    modified = row.mtime_ns // 10**9
    response: HttpResponseBase | None = get_conditional_response(request, etag, modified)
    if response is None:
        response = _by_proxy(path) or _by_bucket(request, found)
    if response is None:
        response = _body(request, found, modified)
    else:
        found.close()
    if response.status_code == 302:  # noqa: PLR2004
        return response
    if response.status_code in {200, 206}:
        response["Content-Type"] = row.media_type
    response["ETag"] = etag
    response["Last-Modified"] = http_date(modified)
    if row.private:
        response["Cache-Control"] = "private, no-cache"
    return response


def _latest(request: HttpRequest, path: str) -> HttpResponseBase:
    """The answer from the file as it is now. Raises DeliveryError, OSError."""
    for _ in range(_LOOKS):
        found = hosted_reading.find(path)
        with suppress(hosted_reading.Changed), _closed_on_error(found):
            return _answer(request, path, found)
    raise HostingFailed("the file changed again and again")


def _refusal(request: HttpRequest, path: str) -> HttpResponse | None:
    """Why a private file is not given, if it is not."""
    try:
        links.check(path, request.GET)
    except links.BadLink as bad:
        fresh = "its owner's /status has a fresh one"
        if bad.expired:
            return problem(Forbidden("link_expired", f"this link is past its end; {fresh}"))
        return problem(Forbidden("bad_link", f"this file needs a signed link; {fresh}"))
    return None


@csrf_exempt
@require_safe
def hosted_file(request: HttpRequest, path: str) -> HttpResponseBase:
    """One hosted file; folders are not listed, and nothing outside the root exists."""
    try:
        response = _latest(request, path)
    except (NotHosted, NoObject):
        return problem(NotFound("file_not_found", "no file is hosted at this path"))
    except DeliveryError:
        return problem(Unavailable("storage_unavailable", "the file cannot be read just now"))
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response
