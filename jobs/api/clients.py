"""Who asks, by address."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_ONE_CLIENT = 64  # bits of an IPv6 address that a client is given; the others it chooses


def plain_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address, an IPv4 one as such where a socket for both shows it as IPv6; else None."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def client(address: str) -> str:
    """What counts as one client: an IPv4 address, a /64 of IPv6."""
    found = plain_address(address)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, _ONE_CLIENT), strict=False))
    return str(found or address)
