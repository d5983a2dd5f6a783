"""Requests whose head cannot be read: refused before any view sees them, and as problem details."""

import socket
from collections.abc import Callable

from gunicorn.http.errors import (
    ConfigurationProblem,
    ExpectationFailed,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)

from jobs.api.problems import problem
from jobs.errors import BadRequest, Refused

_OURS = (ConfigurationProblem, InvalidResponseHeader, InvalidResponseHeaderName)
_SPECIAL: dict[type[ParseException], tuple[int, str, Callable[[], Refused]]] = {
    LimitRequestLine: (
        414,
        "URI too long",
        lambda: BadRequest(
            "uri_too_long", "the first line of a request may have at most 8190 bytes"
        ),
    ),
    LimitRequestHeaders: (
        431,
        "Request header fields too large",
        lambda: BadRequest(
            "headers_too_large",
            "a request may have at most 100 headers, and each of them at most 32 KiB",
        ),
    ),
    ExpectationFailed: (
        417,
        "Expectation failed",
        lambda: BadRequest(
            "expectation_failed", "the only expectation that is met here is 100-continue"
        ),
    ),
    UnsupportedTransferCoding: (
        501,
        "Not implemented",
        lambda: BadRequest(
            "unsupported_transfer_coding", "the only transfer coding that is read here is chunked"
        ),
    ),
}


def refusal_of(error: BaseException) -> Refused | None:
    """What a client is told about a head that gunicorn could not read; None for a fault of ours.

    Gunicorn's own words quote the head, where tokens are.
    """
    if not isinstance(error, ParseException) or isinstance(error, _OURS):
        return None
    made: Refused = BadRequest("malformed_request", "the head of the request could not be read")
    for kind, (status, title, make) in _SPECIAL.items():
        if isinstance(error, kind):
            made = make()
            made.status, made.title = status, title
    return made


def refuse(connection: socket.socket, refused: Refused) -> None:
    """Answer, past WSGI: there is no request. Raises OSError where the peer is gone."""
    answer = problem(refused)
    head = [
        f"HTTP/1.1 {refused.status} {refused.title}",
        *(f"{name}: {value}" for name, value in answer.items()),
        f"Content-Length: {len(answer.content)}",
        "Connection: close",
    ]
    connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + answer.content)
