"""Who the client is, and the last net for exceptions of plain views."""

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from pixerve_site.middleware import TrustedProxyMiddleware
from tests.api.caller import Api, assert_problem, upload_token
from tests.jobs.making import DOT
from tests.server import multipart

Configure = Callable[..., None]
PROXIES = ("127.0.0.1/32", "10.0.0.0/8", "fd00::/8")


@pytest.fixture
def seen(configure: Configure) -> Callable[..., HttpRequest]:
    """The request as a view sees it, when it came from `peer` with these headers."""
    configure(trusted_proxies=tuple(map(ip_network, PROXIES)))

    def ask(peer: str, **headers: Any) -> HttpRequest:
        found: list[HttpRequest] = []

        def view(request: HttpRequest) -> HttpResponse:
            found.append(request)
            return HttpResponse()

        request = RequestFactory().get("/", REMOTE_ADDR=peer, **headers)
        TrustedProxyMiddleware(view)(request)
        return found[0]

    return ask


Seen = Callable[..., HttpRequest]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", "1.2.3.4", "203.0.113.9"),
        ("127.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("127.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        ("127.0.0.1", "6.6.6.6, 1.2.3.4, 10.1.1.1", "1.2.3.4"),
        ("127.0.0.1", "10.1.1.1, 10.2.2.2", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", " , ,", "127.0.0.1"),
        ("fd00::1", "2001:db8::5", "2001:db8::5"),
        ("::ffff:127.0.0.1", "6.6.6.6, 1.2.3.4, ::ffff:10.1.1.1", "1.2.3.4"),
        ("not an address", "1.2.3.4", "not an address"),
        ("", "1.2.3.4", ""),
    ],
)
def test_the_clients_address(seen: Seen, peer: str, forwarded: str, client: str) -> None:
    request = seen(peer, HTTP_X_FORWARDED_FOR=forwarded)
    assert request.META["REMOTE_ADDR"] == client
    assert "HTTP_X_FORWARDED_FOR" not in request.META


@pytest.mark.parametrize(
    ("peer", "told", "secure"),
    [
        ("127.0.0.1", "https", True),
        ("127.0.0.1", "HTTPS ", True),
        ("127.0.0.1", "http", False),
        ("127.0.0.1", "", False),
        ("203.0.113.9", "https", False),
    ],
)
def test_the_scheme(seen: Seen, peer: str, told: str, secure: bool) -> None:
    assert seen(peer, HTTP_X_FORWARDED_PROTO=told).is_secure() is secure


def test_without_proxies_nobody_is_believed(seen: Seen, configure: Configure) -> None:
    configure(trusted_proxies=())
    assert seen("127.0.0.1", HTTP_X_FORWARDED_FOR="1.2.3.4").META["REMOTE_ADDR"] == "127.0.0.1"


@pytest.mark.parametrize("charset", ["hex", "rot13", "idna", "punycode", "undefined", "zlib"])
def test_the_client_chooses_no_codec(api: Api, charset: str) -> None:
    content_type = f"multipart/form-data; boundary=x; charset={charset}"
    answer = api.get("/status?hash=%ff", content_type=content_type)
    assert_problem(answer, 400, "invalid_hash", "hash")
    body, content_type = multipart([("file", "dot.png", DOT)])
    content_type = f"{content_type}; charset={charset}"
    answer = api.call("POST", "/upload", token=upload_token(), data=body, content_type=content_type)
    assert answer.status_code == 202, answer.content


@pytest.mark.parametrize("path", ["/", "/files/x"])
def test_methods_that_a_plain_view_does_not_take(api: Api, path: str) -> None:
    answer = api.call("POST", path)
    assert_problem(answer, 405, "method_not_allowed")
    assert "GET" in answer["Allow"]


def test_a_page_of_another_site_may_not_read_us(api: Api) -> None:
    answer = api.get("/health", HTTP_ORIGIN="https://evil.example")
    assert "Access-Control-Allow-Origin" not in answer


def test_security_headers_of_pages(api: Api) -> None:
    answer: Any = api.get("/")
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
