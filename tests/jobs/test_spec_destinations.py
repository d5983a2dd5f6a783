"""The `job` of a token: where the files go, and whom to tell."""

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest

from jobs.spec import parse
from tests.jobs.specs import HOST, JPG, refused

Configure = Callable[..., None]


def test_no_destination() -> None:
    assert refused({"formats": {"jpg": {}}}).field == "job.directHost"
    assert refused({"formats": {"jpg": {}}, "directHost": False}).field == "job.directHost"
    assert refused({"formats": {"jpg": {}}, "storageKeys": {}}).field == "job.directHost"


def test_nothing_to_make() -> None:
    assert refused(HOST).field == "job.formats"
    assert refused({**HOST, "formats": {}, "keepOriginal": False}).field == "job.formats"


@pytest.mark.parametrize("kind", ["s3", "gcs", "sftp", "local"])
def test_storage_keys(kind: str) -> None:
    assert parse({"formats": {"jpg": {}}, "storageKeys": {kind: "k" * 128}})
    for key in ("", "k" * 129, 5, None, True, ["k"]):
        job = {"formats": {"jpg": {}}, "storageKeys": {kind: key}}
        assert refused(job).field == f"job.storageKeys.{kind}"


@pytest.mark.parametrize("sub_dir", ["a", "a/b/c", "tenant-123", "_x", "A.b_c-d", "x" * 64])
def test_folders(sub_dir: str) -> None:
    assert parse({**JPG, "subDir": sub_dir}).sub_dir == sub_dir


@pytest.mark.parametrize(
    "sub_dir",
    [
        "",
        "/",
        ".",
        "..",
        "a/..",
        "../a",
        "a/../b",
        "a/./b",
        "/a",
        "a/",
        "a//b",
        ".hidden",
        "a/.hidden",
        "-rf",
        "a b",
        "a\\b",
        "a\0b",
        "a\n",
        "a%2fb",
        "a:b",
        "ä",
        "\u202ea",
        "\ud800",
        "~root",
        "$HOME",
        "C:/x",
        "x" * 65,
        "/".join(["x" * 60] * 4),
    ],
)
def test_folders_that_are_none(sub_dir: str) -> None:
    assert refused({**JPG, "subDir": sub_dir}).field == "job.subDir"


# Callbacks


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:8443/hook?a=b",
        "http://8.8.8.8/x",
        "https://bücher.example/x",
    ],
)
def test_callbacks(url: str) -> None:
    assert parse({**JPG, "completionCallback": url}).completion_callback == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hook",
        "//example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "gopher://example.com",
        "javascript:alert(1)",
        "https://",
        "https://user@example.com",
        "https://user:pass@example.com",
        "https://example.com@10.0.0.1/",
        "https://10.0.0.1/",
        "https://192.168.0.1/",
        "https://172.16.5.5/",
        "https://169.254.169.254/latest/meta-data",
        "https://0.0.0.0/",
        "https://[::1]/",
        "https://[fd00::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://example.com\\@10.0.0.1/",
        "https://exa mple.com/",
        "https://example.com/\r\nHost: x",
        "https://example.com/\0",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:port/",
        "https://-example.com/",
        "https://example.com/ä",
        "https://example.com/" + "x" * 2048,
        "https://\ud800.com/",
    ],
)
def test_callbacks_that_are_not_called(configure: Configure, url: str) -> None:
    configure(callback_allow_private=())
    assert refused({**JPG, "completionCallback": url}).field == "job.completionCallback"


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://localhost:9000/hook"])
def test_private_addresses_that_the_owner_allows(configure: Configure, url: str) -> None:
    configure(callback_allow_private=(ip_network("127.0.0.0/8"),))
    assert parse({**JPG, "completionCallback": url})
    configure(callback_allow_private=())
    assert refused({**JPG, "completionCallback": url}).field == "job.completionCallback"


def test_ports_of_public_hosts(configure: Configure) -> None:
    configure(callback_allow_private=())
    for url in ("https://a.example:8443/", "http://8.8.8.8:8080/"):
        problem = refused({**JPG, "completionCallback": url})
        assert problem.field == "job.completionCallback"
        assert "is not allowed" in problem.message
    configure(callback_ports=frozenset({8443}))
    assert parse({**JPG, "completionCallback": "https://a.example:8443/"})
    assert refused({**JPG, "completionCallback": "https://a.example/"})
    configure(callback_ports=None)
    assert parse({**JPG, "completionCallback": "http://8.8.8.8:8080/"})


def test_headers() -> None:
    found = parse({**JPG, "callbackHeaders": {"Authorization": "Bearer x", "X-A": ""}})
    assert found.callback_headers == {"Authorization": "Bearer x", "X-A": ""}


HUSH = "hush-secret"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": f"{HUSH}\r\nX-B: y"},
        {"X-A": f"{HUSH}\n"},
        {"X-A": f"{HUSH}\0"},
        {"X-A\r\nX-B": HUSH},
        {"X A": HUSH},
        {"X:A": HUSH},
        {"": HUSH},
        {"Ä": HUSH},
        {"Host": HUSH},
        {"content-length": HUSH},
        {"Transfer-Encoding": HUSH},
        {"Connection": HUSH},
        {"webhook-id": HUSH},
        {"X-Pixerve-Event": HUSH},
        {"Proxy-Authorization": HUSH},
        {"X-A": HUSH, "x-a": HUSH},
        {"X-A": HUSH * 1000},
        {f"X-{number}": HUSH for number in range(33)},
        {"X-A": HUSH + "\u0416"},
        {"X-A": HUSH + "\ud800"},
        {"X-A": [HUSH]},
        {"X-A": {HUSH: HUSH}},
        {"X-A": 5, "X-B": HUSH},
        {"X-A": None, "X-B": HUSH},
        {"X-A": True, "X-B": HUSH},
    ],
)
def test_headers_that_are_refused_without_repeating_them(headers: dict[str, Any]) -> None:
    error = refused({**JPG, "callbackHeaders": headers})
    assert error.field is not None
    assert error.field.startswith("job.callbackHeaders")
    assert HUSH not in f"{error!r} {error.message} {error.errors} {error.__cause__!r}"


def test_a_refused_header_is_named() -> None:
    error = refused({**JPG, "callbackHeaders": {"X-Fine": "a", "Content-Length": "5"}})
    assert "Content-Length" in error.message


def test_secrets_are_neither_shown_nor_stored() -> None:
    found = parse({**JPG, "callbackHeaders": {"X-A": HUSH}})
    assert HUSH not in repr(found)
    assert HUSH not in str(found.as_sent())
    assert "callbackHeaders" not in found.as_sent()
