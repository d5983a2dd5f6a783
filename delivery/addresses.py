"""Which IP addresses a server may call on behalf of a stranger.

``ipaddress.is_global`` is not enough: before Python 3.13 it takes several tunnel and
reserved ranges for public, and it never looks at the IPv4 address inside an IPv6 one.
So the ranges are listed by hand, after the IANA special-purpose address registries
(RFC 6890 and its updates), and IPv6 is refused outside 2000::/3.
"""

from collections.abc import Container, Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from delivery.errors import AddressRefused, PortRefused

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_GLOBAL_UNICAST = IPv6Network("2000::/3")


def _table(*rows: tuple[str, str]) -> tuple[tuple[IPNetwork, str], ...]:
    return tuple((ip_network(network), reason) for network, reason in rows)


# The first match gives the reason, so a narrow range stands before a wider one.
_REFUSED_IPV4 = _table(
    ("0.0.0.0/32", "unspecified"),
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared (carrier NAT)"),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "cloud platform"),
    ("169.254.0.0/16", "link-local (cloud metadata)"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("255.255.255.255/32", "broadcast"),
    ("240.0.0.0/4", "reserved"),
)

_REFUSED_IPV6 = _table(
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("64:ff9b:1::/48", "local-use NAT64"),
    ("100::/64", "discard-only"),
    ("2001::/32", "Teredo tunnel"),
    ("2001::/23", "protocol assignments"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4 tunnel"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)


def _embedded(ip: IPv6Address) -> Iterable[tuple[IPv4Address, str]]:
    """The IPv4 addresses that ``ip`` stands for or tunnels to, each with the form's name."""
    last_32_bits = IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip.ipv4_mapped is not None:
        yield ip.ipv4_mapped, "IPv4-mapped"
    if ip in _NAT64:
        yield last_32_bits, "NAT64"
    if ip.sixtofour is not None:
        yield ip.sixtofour, "6to4"
    if ip.teredo is not None:
        server, client = ip.teredo
        yield server, "Teredo"
        yield client, "Teredo"
    if ip in _COMPATIBLE and int(ip) > 1:
        yield last_32_bits, "IPv4-compatible"


def _first_match(ip: IPAddress, table: tuple[tuple[IPNetwork, str], ...]) -> str | None:
    return next((reason for network, reason in table if ip in network), None)


def _refusal_ipv6(ip: IPv6Address) -> str | None:
    for inner, form in _embedded(ip):
        if reason := _first_match(inner, _REFUSED_IPV4):
            return f"{reason}, {form}"
    if reason := _first_match(ip, _REFUSED_IPV6):
        return reason
    # Behind these two stands the public IPv4 address that was looked at above.
    if ip in _GLOBAL_UNICAST or ip in _NAT64 or ip.ipv4_mapped is not None:
        return None
    return "reserved"


def refusal(ip: IPAddress) -> str | None:
    """Why ``ip`` is not a public unicast address, in a word or two; None when it is one."""
    if isinstance(ip, IPv4Address):
        return _first_match(ip, _REFUSED_IPV4)
    return _refusal_ipv6(ip)


class AddressPolicy:
    """Public addresses, and the networks that the operator allows on top of them.

    ``ports`` limits which ports of public addresses may be called; None takes any. The allowed
    networks may be called at every port: who names them vouches for what listens there.

    An allowed IPv4 network also covers the IPv4-mapped form (``::ffff:10.0.0.1`` is the
    same host), but no tunnelled form: those leave the operator's network first.
    """

    def __init__(
        self, allow_private: Sequence[IPNetwork] = (), ports: Container[int] | None = None
    ) -> None:
        self.allow_private = tuple(allow_private)
        self.ports = ports

    def __repr__(self) -> str:
        allowed = [str(network) for network in self.allow_private]
        return f"AddressPolicy(allow_private={allowed}, ports={self.ports})"

    def check(self, ip: IPAddress, port: int | None = None) -> None:
        """Raises AddressRefused with the reason; PortRefused where ``port`` is given."""
        if self._allows(ip):
            return
        if reason := refusal(ip):
            raise AddressRefused(f"{ip} is not a public address ({reason})")
        self._check_port(port)

    def check_name(self, port: int) -> None:
        """Whether a name may be called at ``port`` as far as that is known before it is resolved.

        Raises PortRefused.
        """
        if not self.allow_private:
            self._check_port(port)

    def _check_port(self, port: int | None) -> None:
        if port is not None and self.ports is not None and port not in self.ports:
            raise PortRefused(port)

    def _allows(self, ip: IPAddress) -> bool:
        # Rebuilt from the number: an IPv6 scope such as %eth0 is no part of a network.
        mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
        plain = mapped or ip_address(ip.packed)
        return any(plain in network for network in self.allow_private)
