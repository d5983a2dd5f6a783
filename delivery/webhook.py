"""One webhook attempt: a stored message goes out, an Attempt comes back."""

import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from urllib3 import HTTPHeaderDict

from delivery.addresses import AddressPolicy
from delivery.errors import DeliveryError
from delivery.http import Answer, Resolver, check_headers, post, resolve

_SUCCESS = 2  # the first digit of a status
_REDIRECT = 3


@dataclass(frozen=True, repr=False)
class Message:
    """What to tell and whom; ``id`` stays the same over all attempts.

    ``headers`` are the caller's own and secret, and so may be the URL's query.
    """

    id: str
    url: str
    event: str
    body: bytes
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return (
            f"Message(id={self.id!r}, url={re.split('[?#]', self.url)[0]!r}, "
            f"event={self.event!r}, body=<{len(self.body)} bytes>, headers={sorted(self.headers)})"
        )


@dataclass(frozen=True)
class Attempt:
    """How one attempt ended.

    ``error`` is ``"code: message"``. ``permanent`` says that another attempt is useless;
    ``retry_after_s`` is what the receiver asked for, in seconds.
    """

    ok: bool
    status: int | None
    error: str | None
    duration_s: float
    permanent: bool = False
    retry_after_s: float | None = None


#: From message and Unix time to extra headers (a signature over both, for instance).
Signer = Callable[[Message, int], Mapping[str, str]]


def send(
    message: Message,
    *,
    policy: AddressPolicy,
    timeout_s: float = 15.0,
    version: str,
    sign: Signer | None = None,
    resolver: Resolver = resolve,
    tls: ssl.SSLContext | None = None,
) -> Attempt:
    """POST the message once. 2xx is success; trouble is in the Attempt, never raised."""
    started = time.monotonic()
    try:
        check_headers(message.headers)
        answer = post(
            message.url,
            body=message.body,
            headers=_headers(message, version, sign),
            policy=policy,
            total_s=timeout_s,
            resolver=resolver,
            tls=tls,
        )
    except DeliveryError as error:
        spent = time.monotonic() - started
        return Attempt(False, None, str(error), spent, permanent=error.permanent)
    return _judge(answer)


def _headers(message: Message, version: str, sign: Signer | None) -> Mapping[str, str]:
    """The caller's headers may replace our User-Agent, and nothing else of ours."""
    headers = HTTPHeaderDict({"User-Agent": f"Pixerve/{version}"})
    headers.update(message.headers)
    headers.update(
        {
            "Content-Type": "application/json",
            "webhook-id": message.id,
            "X-Pixerve-Event": message.event,
        }
    )
    if sign is not None:
        headers.update(sign(message, int(time.time())))
    return headers


def _judge(answer: Answer) -> Attempt:
    if answer.status // 100 == _SUCCESS:
        return Attempt(True, answer.status, None, answer.duration_s)
    return Attempt(
        ok=False,
        status=answer.status,
        error=f"http_{answer.status}: {_reason(answer.status)}",
        duration_s=answer.duration_s,
        permanent=answer.status == HTTPStatus.GONE,
        retry_after_s=_retry_after(answer),
    )


def _reason(status: int) -> str:
    if status // 100 == _REDIRECT:
        return f"the receiver answered {status}; redirects are not followed"
    return f"the receiver answered {status}"


def _retry_after(answer: Answer) -> float | None:
    """Seconds from now, of a date or a number; None when absent, odd or not for this status."""
    value = answer.headers.get("retry-after", "").strip()
    if answer.status not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return None
    if value.isascii() and value.isdigit():
        return float(value[:12])
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
