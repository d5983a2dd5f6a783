"""What a caller may ask of the guarded client: rules for URLs and for extra headers.

Both checks look at text alone and touch no network, so an upload can be refused at once.
``parse_url`` is also the only parser that the client connects by: what was checked and
what is called cannot be two readings of one string.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address

import idna

from delivery.addresses import AddressPolicy, IPAddress
from delivery.errors import AddressRefused, HeadersRefused, PortRefused, UrlRefused

MAX_URL_LENGTH = 2048
MAX_HOST_LENGTH = 253
MAX_PORT = 65535
MAX_HEADERS = 32
MAX_HEADERS_BYTES = 8 * 1024

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOOPBACK, _LOOPBACK_IPV6 = IPv4Address("127.0.0.1"), IPv6Address("::1")

# ASCII, because with IGNORECASE alone "s" also matches U+017F.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?:#.*)?",
    re.IGNORECASE | re.ASCII,
)
_AUTHORITY = re.compile(
    r"(?:\[(?P<literal>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:%]+))(?::(?P<port>[0-9]{0,5}))?"
)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# The test by which the WHATWG URL standard decides that a host is meant as IPv4.
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_RESERVED_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_RESERVED_PREFIXES = ("proxy-", "webhook-", "x-pixerve-")


@dataclass(frozen=True)
class Target:
    """A checked URL in the parts that a request needs.

    ``host`` is lower-case ASCII, IPv6 literals without brackets; ``path`` is the request
    target, query included.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def literal(self) -> IPAddress | None:
        """The host as an address when it is one, not a name."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None

    @property
    def host_header(self) -> str:
        """The Host header's value: brackets round IPv6, the port unless it is the default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def check_url(url: str, policy: AddressPolicy) -> None:
    """Whether ``url`` may be called at all, by its text.

    Raises UrlRefused. A name that leads to a forbidden address is found only by ``post``.
    """
    parse_url(url, policy)


def parse_url(url: str, policy: AddressPolicy) -> Target:
    """Raises UrlRefused; see ``check_url``."""
    _check_characters(url)
    match = _URL.fullmatch(url)
    if match is None:
        raise UrlRefused("url_scheme", "the URL must start with http:// or https://")
    scheme = match["scheme"].lower()
    path = (match["path"] or "/") + (match["query"] or "")
    if not path.isascii():
        raise UrlRefused("url_characters", "path and query must be percent-encoded")
    host, port = _host_and_port(match["authority"], _DEFAULT_PORTS[scheme])
    target = Target(scheme, host, port, path)
    _check_address(target, policy)
    return target


def _check_characters(url: str) -> None:
    if len(url) > MAX_URL_LENGTH:
        raise UrlRefused("url_too_long", f"the URL is longer than {MAX_URL_LENGTH} characters")
    if "\\" in url or " " in url or not url.isprintable():
        raise UrlRefused(
            "url_characters", "the URL holds a backslash, white space or a control character"
        )


def _host_and_port(authority: str, default_port: int) -> tuple[str, int]:
    if "@" in authority:
        raise UrlRefused("url_userinfo", "the URL must not hold a user name or password")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise UrlRefused("url_host", "the URL has no valid host and port")
    port = int(match["port"] or default_port)
    if not 1 <= port <= MAX_PORT:
        raise UrlRefused("url_port", f"the port must be between 1 and {MAX_PORT}")
    host = _ipv6_literal(match["literal"]) if match["literal"] else _host_name(match["name"])
    return host, port


def _ipv6_literal(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except AddressValueError:
        raise UrlRefused("url_host", "the host is not a valid IPv6 address") from None


def _host_name(name: str) -> str:
    host = name.lower() if name.isascii() else _idna(name)
    labels = host.split(".")
    if len(host) > MAX_HOST_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        raise UrlRefused("url_host", "the host is not a valid name")
    if any(label.startswith("xn--") for label in labels):
        _idna(host)
    # Resolvers also read 127.1, 0x7f000001 or 017700000001 as IPv4; one spelling is enough.
    if _NUMBER.fullmatch(labels[-1]) and not _is_dotted_quad(host):
        raise UrlRefused("url_host", "the host is not a valid IPv4 address in dotted form")
    return host


def _idna(name: str) -> str:
    try:
        return idna.encode(name, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError:
        raise UrlRefused("url_host", "the host is not a valid international name") from None


def _is_dotted_quad(host: str) -> bool:
    try:
        IPv4Address(host)
    except AddressValueError:
        return False
    return True


def _check_address(target: Target, policy: AddressPolicy) -> None:
    try:
        if target.literal is not None:
            policy.check(target.literal, target.port)
        elif target.host == "localhost" or target.host.endswith(".localhost"):
            _check_loopback(policy, target.port)
        else:
            policy.check_name(target.port)
    except (AddressRefused, PortRefused) as refused:
        raise UrlRefused(refused.code, refused.message) from None


def _check_loopback(policy: AddressPolicy, port: int) -> None:
    """Passes when the policy takes one of the loopback addresses."""
    with suppress(AddressRefused):
        policy.check(_LOOPBACK, port)
        return
    policy.check(_LOOPBACK_IPV6, port)


def check_headers(headers: Mapping[str, str]) -> None:
    """Rules for headers that a caller adds to a callback. Raises HeadersRefused.

    At most 32, of at most 8 KiB together as sent; names are RFC 9110 tokens; values are
    Latin-1 without control characters. What frames or identifies the request is ours.
    """
    if len(headers) > MAX_HEADERS:
        raise HeadersRefused("too_many_headers", f"more than {MAX_HEADERS} headers")
    if len({name.lower() for name in headers}) < len(headers):
        raise HeadersRefused("header_twice", "a header is given twice in different letter case")
    for name, value in headers.items():
        _check_header(name, value)
    size = sum(len(name) + len(value) + len(": \r\n") for name, value in headers.items())
    if size > MAX_HEADERS_BYTES:
        raise HeadersRefused("headers_too_long", f"headers exceed {MAX_HEADERS_BYTES} bytes")


def _check_header(name: str, value: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise HeadersRefused("header_name", f"{name[:40]!r} is not a valid header name")
    lower = name.lower()
    if lower in _RESERVED_HEADERS or lower.startswith(_RESERVED_PREFIXES):
        raise HeadersRefused("header_reserved", f"header {name[:40]} cannot be set")
    if not _VALUE.fullmatch(value):
        raise HeadersRefused("header_value", f"header {name[:40]} holds a forbidden character")
