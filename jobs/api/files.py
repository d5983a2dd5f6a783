"""GET and HEAD /files/{path}: hosted files, with the caching and ranges of RFC 9110.

The ETag is the content's SHA-256. Files may change (a newer job of the same subject replaces them),
so caches keep them but ask again. A private file needs a link that `jobs.links` signed.
With `PIXERVE_SENDFILE` the proxy in front sends the bytes.
"""

import hashlib
import mimetypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import http_date, parse_http_date_safe
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from delivery.errors import DeliveryError, HostingFailed
from delivery.hosting import HostedHandle, HostedRoot
from encoders.sniff import MEDIA_TYPES, SNIFF_BYTES, sniff
from jobs import links
from jobs.api.problems import problem
from jobs.errors import Forbidden, NotFound, RangeNotSatisfiable, Unavailable
from jobs.models import HostedFile

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_CHUNK = 256 * 1024
_HEADERS = {
    "Cache-Control": "public, no-cache",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Accept-Ranges": "bytes",
}


def _checksum(file: BufferedReader) -> str:
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return digest


def _media_type(file: BufferedReader, path: str) -> str:
    found = sniff(file.read(SNIFF_BYTES))
    file.seek(0)
    if found:
        return MEDIA_TYPES[found]
    guess = mimetypes.guess_type(path)[0] or ""
    return (
        guess if guess.startswith("image/") and "svg" not in guess else "application/octet-stream"
    )


def _row(path: str, handle: HostedHandle) -> HostedFile:
    """The row of the file as it lies there; made anew where the file is another than the row's.

    That happens to files put there by hand or from a backup, and for a moment between the rename
    and the commit of a newer job.
    """
    row = HostedFile.objects.filter(path=path).first()
    if row is not None and (row.bytes, row.mtime_ns) == (handle.size, handle.mtime_ns):
        return row
    fresh = {
        "sha256": _checksum(handle.file),
        "bytes": handle.size,
        "mtime_ns": handle.mtime_ns,
        "media_type": _media_type(handle.file, path),
    }
    if row is None:
        # Kept, so that the next reader need not hash the file again.
        return HostedFile.objects.get_or_create(path=path, defaults=fresh)[0]
    same = HostedFile.objects.filter(pk=row.pk, mtime_ns=row.mtime_ns, sha256=row.sha256)
    same.update(**fresh)
    return HostedFile(pk=row.pk, path=path, private=row.private, **fresh)


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


class _Part:
    """A window onto a file, for FileResponse."""

    def __init__(self, file: BufferedReader, first: int, length: int) -> None:
        file.seek(first)
        self._file = file
        self._left = length

    def read(self, size: int = _CHUNK) -> bytes:
        chunk = self._file.read(min(size, self._left))
        self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        self._file.close()


def _out_of_range(row: HostedFile) -> HttpResponse:
    refused = RangeNotSatisfiable("range_not_satisfiable", f"the file has {row.bytes} bytes")
    response = problem(refused)
    response["Content-Range"] = f"bytes */{row.bytes}"
    return response


def _body(
    request: HttpRequest, handle: HostedHandle, row: HostedFile, modified: int
) -> HttpResponseBase:
    wanted = _range(request, row, modified)
    if wanted is None:
        first, last, status = 0, row.bytes - 1, 200
    else:
        first, last = wanted
        status = 206
    if wanted is not None and (first > last or first >= row.bytes):
        handle.close()
        return _out_of_range(row)
    length = last - first + 1
    if request.method == "HEAD":
        handle.close()
        response: HttpResponseBase = HttpResponse(status=status)
    else:
        response = FileResponse(_Part(handle.file, first, length), status=status)
        response.block_size = _CHUNK
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


@contextmanager
def _closed_on_error(handle: HostedHandle) -> Iterator[None]:
    try:
        yield
    except BaseException:
        handle.close()
        raise


def _answer(request: HttpRequest, path: str, handle: HostedHandle) -> HttpResponseBase:
    row = _row(path, handle)
    if row.private and (refused := _refusal(request, path)):
        handle.close()
        return refused
    etag = f'"{row.sha256}"'
    modified = row.mtime_ns // 10**9
    response: HttpResponseBase | None = get_conditional_response(request, etag, modified)
    if response is None:
        response = _by_proxy(path)
    if response is None:
        response = _body(request, handle, row, modified)
    else:
        handle.close()
    if response.status_code in {200, 206}:
        response["Content-Type"] = row.media_type
    response["ETag"] = etag
    response["Last-Modified"] = http_date(modified)
    if row.private:
        response["Cache-Control"] = "private, no-cache"
    return response


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
        handle = HostedRoot(Path(settings.PIXERVE.serve_dir)).open(path)
    except HostingFailed:
        return problem(Unavailable("storage_unavailable", "the file cannot be read just now"))
    except DeliveryError:
        return problem(NotFound("file_not_found", "no file is hosted at this path"))
    with _closed_on_error(handle):
        response = _answer(request, path, handle)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response
