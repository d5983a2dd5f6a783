"""A guarded HTTP POST to a URL that a stranger chose.

The name is resolved once, every address it has is checked, and the connection goes to a
checked address itself, so a second DNS answer cannot lead elsewhere. Host header, SNI
and certificate check stay with the name. No redirect is followed, no proxy variable,
cookie or netrc is read, nothing is retried, and one deadline covers the whole exchange.
"""

import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from http.client import HTTPException

from urllib3 import HTTPHeaderDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from delivery.addresses import AddressPolicy, IPAddress
from delivery.deadline import Deadline
from delivery.errors import (
    BadAnswer,
    ConnectFailed,
    DeliveryError,
    TimedOut,
    TlsFailed,
)
from delivery.guard import Resolver, checked_addresses, resolve
from delivery.rules import Target, check_headers, check_url, parse_url

__all__ = ["Answer", "Resolver", "check_headers", "check_url", "post", "resolve"]


@dataclass(frozen=True)
class Answer:
    """What the peer said: header names in lower case, the first bytes of the body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body_start: bytes = field(repr=False)
    duration_s: float
    address: str


@lru_cache(maxsize=1)
def system_tls() -> ssl.SSLContext:
    """The system's trusted authorities (or SSL_CERT_FILE's); loading them costs 30 ms."""
    return ssl.create_default_context()


def post(
    url: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    policy: AddressPolicy,
    connect_s: float = 5.0,
    total_s: float = 15.0,
    max_answer: int = 65536,
    resolver: Resolver = resolve,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """POST ``body`` and read at most ``max_answer`` bytes of the answer, whatever its status.

    ``connect_s`` bounds each address tried, ``total_s`` everything, DNS included.
    Raises the network half of the DeliveryError tree.
    """
    started = time.monotonic()
    target = parse_url(url, policy)
    with Deadline(total_s) as deadline:
        addresses = checked_addresses(target.host, target.port, policy, deadline, resolver)
        connection, address = _connect(target, addresses, deadline, connect_s, tls)
        with closing(connection):
            sent = HTTPHeaderDict({"User-Agent": "Pixerve"})
            sent.update(headers)
            sent.update({"Host": target.host_header, "Connection": "close"})
            status, answer_headers, start = _exchange(
                connection,
                target.path,
                body=body,
                headers=sent,
                deadline=deadline,
                max_answer=max_answer,
            )
    return Answer(status, answer_headers, start, time.monotonic() - started, str(address))


class _Watched(HTTPConnection):
    """Hands its socket to the deadline before anything else may block on it."""

    deadline: Deadline

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        try:
            self.deadline.watch(sock)
        except DeliveryError:
            sock.close()
            raise
        return sock


class _WatchedTls(_Watched, HTTPSConnection):
    """The same below TLS."""


def _connect(
    target: Target,
    addresses: Sequence[IPAddress],
    deadline: Deadline,
    connect_s: float,
    tls: ssl.SSLContext | None,
) -> tuple[HTTPConnection, IPAddress]:
    """The first address that takes a connection. Only a failed connect leads to the next."""
    failure: DeliveryError = ConnectFailed(f"{target.host}: no address")
    for ip in addresses:
        timeout = min(connect_s, deadline.remaining())
        connection = _connection(target, ip, timeout, tls)
        connection.deadline = deadline
        try:
            connection.connect()
        except ssl.SSLError as error:
            connection.close()
            raise _late_or(deadline, TlsFailed(f"{target.host}: {_tls_reason(error)}")) from None
        except (HTTPError, OSError) as error:
            connection.close()
            where = f"{target.host} at {ip} port {target.port}"
            failure = _connect_failure(where, error, timeout)
        except BaseException:
            connection.close()
            raise
        else:
            return connection, ip
    raise _late_or(deadline, failure)


def _connection(
    target: Target, ip: IPAddress, timeout: float, tls: ssl.SSLContext | None
) -> _Watched:
    if target.scheme == "http":
        return _Watched(str(ip), target.port, timeout=timeout)
    # server_hostname alone serves both SNI and OpenSSL's own check of the certificate.
    return _WatchedTls(
        str(ip),
        target.port,
        timeout=timeout,
        server_hostname=target.host,
        ssl_context=tls or system_tls(),
    )


def _exchange(
    connection: HTTPConnection,
    path: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    deadline: Deadline,
    max_answer: int,
) -> tuple[int, dict[str, str], bytes]:
    connection.timeout = deadline.remaining()
    try:
        # A peer may answer and hang up before it has read the body.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", path, body=body, headers=headers, preload_content=False)
        with closing(connection.getresponse()) as response:
            start = response.read(max_answer, decode_content=False)
    except (HTTPError, HTTPException, OSError) as error:
        raise _late_or(deadline, BadAnswer(f"no proper answer: {type(error).__name__}")) from None
    # To a body without a length, the cut looks like its end.
    if deadline.passed:
        raise deadline.error()
    return response.status, {k.lower(): v for k, v in response.headers.items()}, start


def _late_or(deadline: Deadline, failure: DeliveryError) -> DeliveryError:
    return deadline.error() if deadline.passed else failure


def _tls_reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    return f"handshake failed: {error.reason or 'no reason given'}"


def _connect_failure(where: str, error: Exception, timeout: float) -> DeliveryError:
    # urllib3's own message repeats the address; the system's reason stands below it.
    cause = error.__cause__ or error
    if isinstance(cause, TimeoutError):
        return TimedOut(f"{where}: no connection within {timeout:.3g} s")
    return ConnectFailed(f"{where}: {getattr(cause, 'strerror', None) or 'connection lost'}")
