from ipaddress import ip_network

import pytest

from delivery.addresses import AddressPolicy
from delivery.errors import HeadersRefused, UrlRefused
from delivery.http import check_headers, check_url
from delivery.rules import parse_url

PUBLIC_ONLY = AddressPolicy()

GOOD_URLS = [
    "https://example.com",
    "http://example.com/",
    "HTTPS://Example.COM:8443/a/b?c=d&e#fragment",
    "https://example.com?only=query",
    "https://example.com:/default-port",
    "https://r3---sn-abc.example.com/",
    "https://bücher.example/",
    "https://xn--bcher-kva.example/",
    "https://8.8.8.8/",
    "https://[2606:4700:4700::1111]:444/",
    "https://1.example.com/",
    "https://example.com/a%20b",
    "https://example.com/" + "a" * 2028,
]

BAD_URLS = [
    ("", "url_scheme"),
    ("example.com/hook", "url_scheme"),
    ("//example.com/hook", "url_scheme"),
    ("https:/example.com", "url_scheme"),
    ("https:example.com", "url_scheme"),
    ("ftp://example.com/", "url_scheme"),
    ("file:///etc/passwd", "url_scheme"),
    ("http\u017f://example.com/", "url_scheme"),
    ("https://example.com/" + "a" * 2029, "url_too_long"),
    ("https://example.com/a b", "url_characters"),
    (" https://example.com/", "url_characters"),
    ("https://example.com/\r\nX: y", "url_characters"),
    ("https://exam\tple.com/", "url_characters"),
    ("https://example.com/\x00", "url_characters"),
    ("https://example.com/\x7f", "url_characters"),
    ("https://example.com\\@127.0.0.1/", "url_characters"),
    ("https://example.com/\u00a0", "url_characters"),
    ("https://example.com/\u200b", "url_characters"),
    ("https://example.com/ü", "url_characters"),
    ("https://example.com/?q=ü", "url_characters"),
    ("https://user@example.com/", "url_userinfo"),
    ("https://user:secret@example.com/", "url_userinfo"),
    ("https://@example.com/", "url_userinfo"),
    ("https://example.com@127.0.0.1/", "url_userinfo"),
    ("https://", "url_host"),
    ("https:///path", "url_host"),
    ("https://:443/", "url_host"),
    ("https://?query", "url_host"),
    ("https://.example.com/", "url_host"),
    ("https://example..com/", "url_host"),
    ("https://example.com./", "url_host"),
    ("https://example\u3002com\u3002/", "url_host"),
    ("https://-example.com/", "url_host"),
    ("https://exa_mple.com/", "url_host"),
    ("https://exam%70le.com/", "url_host"),
    ("https://a!b.example/", "url_host"),
    ("https://xn--a.example/", "url_host"),
    ("https://" + "a" * 64 + ".example/", "url_host"),
    ("https://" + "a." * 127 + "example/", "url_host"),
    ("https://[::1/", "url_host"),
    ("https://::1/", "url_host"),
    ("https://[fe80::1%25eth0]/", "url_host"),
    ("https://[1.2.3.4]/", "url_host"),
    ("https://[v1.a]/", "url_host"),
    ("https://a[::1]/", "url_host"),
    ("https://example.com:port/", "url_host"),
    ("https://example.com:+80/", "url_host"),
    ("https://example.com:\uff18\uff10/", "url_host"),
    ("https://example.com:0/", "url_port"),
    ("https://example.com:65536/", "url_port"),
    ("https://example.com:99999/", "url_port"),
    ("https://example.com:1:2/", "url_host"),
    # odd spellings of IPv4, public ones too
    ("http://127.1/", "url_host"),
    ("http://127.0.1/", "url_host"),
    ("http://0x7f000001/", "url_host"),
    ("http://0X7F.1/", "url_host"),
    ("http://0x7f.0.0.0x1/", "url_host"),
    ("http://2130706433/", "url_host"),
    ("http://134744072/", "url_host"),
    ("http://017700000001/", "url_host"),
    ("http://0177.0.0.1/", "url_host"),
    ("http://127.0.0.01/", "url_host"),
    ("http://127.0.0.1./", "url_host"),
    ("http://256.1.1.1/", "url_host"),
    ("http://1.2.3.4.5/", "url_host"),
    ("http://0x/", "url_host"),
    ("http://example.0x7f/", "url_host"),
    # addresses
    ("http://0/", "url_host"),
    ("http://0.0.0.0/", "address_refused"),
    ("http://127.0.0.1:8080/", "address_refused"),
    ("http://\uff11\uff12\uff17.0.0.1/", "address_refused"),
    ("http://\u2460\u2461\u2466.0.0.1/", "address_refused"),
    ("http://127\u30020\u30020\u30021/", "address_refused"),
    ("http://169.254.169.254/latest/meta-data", "address_refused"),
    ("http://10.0.0.1/", "address_refused"),
    ("http://[::1]/", "address_refused"),
    ("http://[::]/", "address_refused"),
    ("http://[::ffff:127.0.0.1]/", "address_refused"),
    ("http://[0:0:0:0:0:ffff:7f00:1]/", "address_refused"),
    ("http://[64:ff9b::a00:1]/", "address_refused"),
    ("http://localhost/", "address_refused"),
    ("http://LOCALHOST:80/", "address_refused"),
    ("http://a.localhost/", "address_refused"),
    ("http://localhost./", "url_host"),
    ("http://\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54/", "address_refused"),
]


@pytest.mark.parametrize("url", GOOD_URLS)
def test_a_proper_url_passes(url: str) -> None:
    check_url(url, PUBLIC_ONLY)


@pytest.mark.parametrize(("url", "code"), BAD_URLS)
def test_a_bad_url_is_refused_by_name(url: str, code: str) -> None:
    with pytest.raises(UrlRefused) as caught:
        check_url(url, PUBLIC_ONLY)
    assert caught.value.code == code
    assert caught.value.permanent


def test_refusals_never_show_the_url() -> None:
    with pytest.raises(UrlRefused) as caught:
        check_url("https://user:hunter2@example.com/?token=sesame", PUBLIC_ONLY)
    assert "hunter2" not in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_ports_can_be_limited() -> None:
    policy = AddressPolicy(ports={443})
    check_url("https://example.com/", policy)
    check_url("http://8.8.8.8:443/", policy)
    for url in ("http://example.com/", "http://8.8.8.8/", "https://example.com:8443/"):
        with pytest.raises(UrlRefused, match=r"port [0-9]+ is not allowed") as caught:
            check_url(url, policy)
        assert caught.value.code == "url_port"


def test_the_operators_own_networks_have_every_port() -> None:
    policy = AddressPolicy([ip_network("127.0.0.0/8")], ports={443})
    for url in ("http://127.0.0.1:9000/", "http://localhost:9000/"):
        check_url(url, policy)
    # Where this name leads, only its resolution tells.
    check_url("http://receiver.internal:9000/", policy)
    for url in ("http://8.8.8.8:9000/", "http://[2606:4700::1]:9000/"):
        with pytest.raises(UrlRefused, match="port 9000 is not allowed"):
            check_url(url, policy)


def test_an_allowed_loopback_opens_localhost() -> None:
    policy = AddressPolicy([ip_network("127.0.0.0/8")])
    for url in ("http://localhost:9000/", "http://a.localhost/", "http://127.0.0.1/"):
        check_url(url, policy)
    with pytest.raises(UrlRefused):
        check_url("http://[::1]/", policy)


def test_the_parts_are_what_a_request_needs() -> None:
    target = parse_url("HTTP://Bücher.Example:8080?a=b#c", PUBLIC_ONLY)
    assert (target.scheme, target.host, target.port) == ("http", "xn--bcher-kva.example", 8080)
    assert target.path == "/?a=b"
    assert target.host_header == "xn--bcher-kva.example:8080"


@pytest.mark.parametrize(
    ("url", "host_header"),
    [
        ("https://example.com:443/", "example.com"),
        ("https://example.com:80/", "example.com:80"),
        ("https://[2606:4700::0:1]/", "[2606:4700::1]"),
        ("https://[2606:4700::1]:81/", "[2606:4700::1]:81"),
    ],
)
def test_the_host_header(url: str, host_header: str) -> None:
    assert parse_url(url, PUBLIC_ONLY).host_header == host_header


GOOD_HEADERS = [
    {},
    {"Authorization": "Bearer x", "X-Tenant": "a b\tc", "Cookie": "a=b"},
    {"X-Latin": "caf\xe9", "X-Empty": ""},
    {"User-Agent": "mine", "X-Connection": "yes", "Hostname": "h"},
    {f"X-{number}": "v" for number in range(32)},
    {"X-Long": "v" * (8192 - len("X-Long: \r\n"))},
]

BAD_HEADERS = [
    *[
        ({name: "v"}, "header_reserved")
        for name in (
            "Host",
            "hOST",
            "Content-Length",
            "Content-Type",
            "Transfer-Encoding",
            "Connection",
            "Keep-Alive",
            "TE",
            "Trailer",
            "Upgrade",
            "Expect",
            "Proxy-Authorization",
            "proxy-connection",
            "Webhook-Signature",
            "webhook-id",
            "X-Pixerve-Event",
            "x-pixerve-",
        )
    ],
    *[
        ({name: "v"}, "header_name")
        for name in ("", "X Y", "X:", "X\r\nY", "X\n", "Ä", "X\x00", "(x)", "X-Y ")
    ],
    *[
        ({"X-A": value}, "header_value")
        for value in ("a\r\nb", "a\n", "a\rb", "\x00", "\x7f", "\x1b[", "\x85", "snow\u2603")
    ],
    ({f"X-{number}": "v" for number in range(33)}, "too_many_headers"),
    ({"X-Long": "v" * (8193 - len("X-Long: \r\n"))}, "headers_too_long"),
    ({"X-A": "1", "x-a": "2"}, "header_twice"),
]


@pytest.mark.parametrize("headers", GOOD_HEADERS)
def test_proper_headers_pass(headers: dict[str, str]) -> None:
    check_headers(headers)


@pytest.mark.parametrize(("headers", "code"), BAD_HEADERS)
def test_bad_headers_are_refused_by_name(headers: dict[str, str], code: str) -> None:
    with pytest.raises(HeadersRefused) as caught:
        check_headers(headers)
    assert caught.value.code == code
    assert caught.value.permanent


def test_a_refusal_never_shows_the_value() -> None:
    with pytest.raises(HeadersRefused) as caught:
        check_headers({"Authorization": "Bearer sesame\n"})
    assert "sesame" not in str(caught.value)
