"""From whatever a client library raised to what it means: the network's share of it."""

import errno
import socket
import ssl
from collections.abc import Iterator

from urllib3.exceptions import TimeoutError as HttpTimeout

from delivery.backends.errors import StoreFull, StoreUnavailable, TlsRefused
from delivery.backends.wire import Wire
from delivery.errors import DeliveryError, DnsFailed, TimedOut

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# The peer hung up in the middle of TLS; the others are about what it is.
_HUNG_UP = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that led to it, outermost first."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]


def network_trouble(error: BaseException, wire: Wire, host: str) -> DeliveryError:
    """What an error that holds no answer of the store means."""
    if late := wire.late():
        return late
    found = tuple(causes(error))
    for each in found:
        if isinstance(each, DeliveryError):
            return each
    for each in found:
        if told := _meaning(each, host):
            return told
    return StoreUnavailable(f"{host}: the connection was lost ({type(error).__name__})")


def _meaning(error: BaseException, host: str) -> DeliveryError | None:
    if isinstance(error, ssl.SSLError) and not isinstance(error, _HUNG_UP):
        return TlsRefused(f"{host}: {_of_tls(error)}")
    if isinstance(error, TimeoutError | HttpTimeout):
        return TimedOut(f"{host}: no answer in time; try again, or raise timeout_s")
    if isinstance(error, socket.gaierror):
        return DnsFailed(f"{host}: {error.strerror}")
    if isinstance(error, OSError) and error.errno in _FULL:
        return StoreFull(f"{host}: {error.strerror}")
    if isinstance(error, ConnectionError) and error.strerror:
        return StoreUnavailable(f"{host}: {error.strerror}")
    return None


def _of_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"certificate refused: {error.verify_message}; check the host name of the endpoint, "
            "or let the system trust the authority that signed it"
        )
    return f"no TLS handshake ({error.reason or 'no reason given'}); does the port speak https?"
