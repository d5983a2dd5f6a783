"""From a host that a stranger chose to the addresses that may be connected to.

A name is resolved once, and every address it has is checked. Whoever connects goes to one of the
addresses given here and never resolves the name again, so that a second DNS answer cannot lead
elsewhere; Host, SNI and certificate check stay with the name.
"""

import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from delivery.addresses import AddressPolicy, IPAddress
from delivery.deadline import Deadline
from delivery.errors import AddressRefused, DnsFailed

#: From host name and port to addresses, best first. Raises OSError or UnicodeError.
Resolver = Callable[[str, int], Sequence[str]]


def resolve(host: str, port: int) -> list[str]:
    """The system's addresses for ``host``, in the system's order of preference."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for _, _, _, _, sockaddr in found]


def checked_addresses(
    host: str,
    port: int,
    policy: AddressPolicy,
    deadline: Deadline,
    resolver: Resolver = resolve,
) -> list[IPAddress]:
    """All addresses of ``host``, each of which the policy lets us call at ``port``, best first.

    ``host`` is a name or an address, IPv6 without brackets. One bad address spoils the name.
    Raises AddressRefused, PortRefused, DnsFailed, TimedOut.
    """
    addresses = _literal(host) or _resolved(host, port, deadline, resolver)
    for ip in addresses:
        try:
            policy.check(ip, port)
        except AddressRefused as refused:
            raise AddressRefused(f"{host}: {refused.message}") from None
    return addresses


def _literal(host: str) -> list[IPAddress]:
    try:
        return [ip_address(host)]
    except ValueError:
        return []


def _resolved(host: str, port: int, deadline: Deadline, resolver: Resolver) -> list[IPAddress]:
    try:
        found = deadline.run(lambda: resolver(host, port))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a resolvable name"
        raise DnsFailed(f"{host}: {reason}") from None
    try:
        addresses = [ip_address(text) for text in found]
    except ValueError:
        raise DnsFailed(f"{host}: the resolver gave something that is no address") from None
    if not addresses:
        raise DnsFailed(f"{host}: no address")
    return addresses
