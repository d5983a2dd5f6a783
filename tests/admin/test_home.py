"""GET /: the page itself; `test_browser` uses it."""

import re

from django.contrib.staticfiles import finders
from django.test import Client


def test_the_page_needs_nothing_from_elsewhere(client: Client) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    page = answer.content.decode()
    linked = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert linked
    assert all(link.startswith("/") for link in linked)
    for link in linked:
        if link.startswith("/static/"):
            assert finders.find(link.removeprefix("/static/")), link
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", page)


def test_its_policy_allows_only_its_own(client: Client) -> None:
    policy = client.get("/")["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_it_is_only_read(client: Client) -> None:
    assert client.post("/").status_code == 405
    assert client.head("/").status_code == 200
