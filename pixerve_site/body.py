"""Request bodies: bounded before Django sees them, and refused without being read.

Wraps the WSGI application. A body that is too long by its Content-Length is refused at once; one
that comes in chunks is cut at the limit. After a refusal the connection lingers for a moment and
discards what still comes, because closing it with unread bytes would reset it, and the client could
lose the answer.
"""

import contextlib
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from django.conf import settings

from jobs.api.problems import problem
from jobs.errors import BadRequest, PayloadTooLarge, Refused

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

UPLOAD_PATH = "/upload"
OTHER_LIMIT = 2**20
MAX_DIGITS = 20  # of a Content-Length; no file is longer, and Python reads no endless numbers
LINGER_S = 2.0
LINGER_BYTES = 8 * 2**20


class CappedReader:
    """A body of unknown length, cut at `limit` bytes. Raises PayloadTooLarge beyond."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self._left = limit
        self._limit = limit

    def read(self, size: int = -1) -> bytes:
        wanted = self._left + 1 if size < 0 else min(size, self._left + 1)
        return self._count(self._stream.read(wanted))

    def readline(self, size: int = -1) -> bytes:
        wanted = self._left + 1 if size < 0 else min(size, self._left + 1)
        return self._count(self._stream.readline(wanted))

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def _count(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise too_large(self._limit)
        return data


def too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge("body_too_large", f"a request may bring at most {limit} bytes here")


class LingeringBody:
    """The body of a refusal; once it is sent, the rest of the request is discarded for a while."""

    def __init__(self, body: bytes, connection: socket.socket | None) -> None:
        self._body = body
        self._connection = connection

    def __iter__(self) -> Iterator[bytes]:
        yield self._body

    def close(self) -> None:
        if self._connection is None:
            return
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
            self._drain(self._connection)

    def _drain(self, connection: socket.socket) -> None:
        end = time.monotonic() + LINGER_S
        left = LINGER_BYTES
        while left > 0 and (wait := end - time.monotonic()) > 0:
            connection.settimeout(wait)
            taken = len(connection.recv(65536))
            if not taken:
                return
            left -= taken


def _refuse(refused: Refused, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    answer = problem(refused)
    headers = [
        *answer.items(),
        ("Content-Length", str(len(answer.content))),
        ("Connection", "close"),
    ]
    start_response(f"{refused.status} {refused.title}", headers)
    return LingeringBody(answer.content, environ.get("gunicorn.socket"))


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
            return _refuse(refused, environ, start_response)
        if length is not None and length > limit:
            return _refuse(too_large(limit), environ, start_response)
        if length is None:
            # Django reads as far as CONTENT_LENGTH says, and takes its absence for "nothing".
            environ["CONTENT_LENGTH"] = str(limit + 1)
            environ["wsgi.input"] = CappedReader(environ["wsgi.input"], limit)
        return application(environ, start_response)

    return wrapped
