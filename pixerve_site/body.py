"""Request bodies: bounded before Django sees them, and refused without being read.

Wraps the WSGI application. A body that is too long by its Content-Length is refused at once; one
that comes in chunks is cut at the limit. What a refused client still sends is taken and discarded
for a moment (`pixerve_site.patience.hang_up`), so that it gets the answer instead of a reset.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from django.conf import settings
from gunicorn.http.errors import ParseException

from jobs.api.problems import problem
from jobs.errors import BadRequest, PayloadTooLarge, Refused

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

UPLOAD_PATH = "/upload"
OTHER_LIMIT = 2**20
MAX_DIGITS = 20  # of a Content-Length; no file is longer, and Python reads no endless numbers


class CappedReader:
    """A body of unknown length, cut at `limit` bytes. Raises PayloadTooLarge beyond, BadRequest."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self._left = limit
        self._limit = limit

    def read(self, size: int = -1) -> bytes:
        wanted = self._left + 1 if size < 0 else min(size, self._left + 1)
        return self._count(lambda: self._stream.read(wanted))

    def readline(self, size: int = -1) -> bytes:
        wanted = self._left + 1 if size < 0 else min(size, self._left + 1)
        return self._count(lambda: self._stream.readline(wanted))

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def _count(self, read: Callable[[], bytes]) -> bytes:
        try:
            data = read()
        except ParseException:
            raise BadRequest("malformed_request", "the body is not properly chunked") from None
        self._left -= len(data)
        if self._left < 0:
            raise too_large(self._limit)
        return data


def too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge("body_too_large", f"a request may bring at most {limit} bytes here")


def _refuse(refused: Refused, start_response: StartResponse) -> Iterable[bytes]:
    answer = problem(refused)
    headers = [
        *answer.items(),
        ("Content-Length", str(len(answer.content))),
        ("Connection", "close"),
    ]
    start_response(f"{refused.status} {refused.title}", headers)
    return [answer.content]


def _limit_of(path: str) -> int:
    return settings.PIXERVE.request_limit if path == UPLOAD_PATH else OTHER_LIMIT


def _length_of(environ: Environ) -> int | None:
    """The declared length; None for a body that comes in chunks."""
    # "wsgi.input_terminated" alone says nothing: gunicorn sets it on every request.
    if "HTTP_TRANSFER_ENCODING" in environ and environ.get("wsgi.input_terminated"):
        return None
    declared = environ.get("CONTENT_LENGTH") or "0"
    if not (declared.isascii() and declared.isdigit() and len(declared) < MAX_DIGITS):
        raise BadRequest("malformed_request", "Content-Length is not a number")
    return int(declared)


def bounded(application: Application) -> Application:
    """`application` behind these limits."""

    def wrapped(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        limit = _limit_of(environ.get("PATH_INFO", ""))
        try:
            length = _length_of(environ)
        except BadRequest as refused:
            return _refuse(refused, start_response)
        if length is not None and length > limit:
            return _refuse(too_large(limit), start_response)
        if length is None:
            # Django reads as far as CONTENT_LENGTH says, and takes its absence for "nothing".
            environ["CONTENT_LENGTH"] = str(limit + 1)
            environ["wsgi.input"] = CappedReader(environ["wsgi.input"], limit)
        return application(environ, start_response)

    return wrapped
