"""GET and HEAD /files/{path}: caching, ranges, and no way out of the folder."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.utils.http import http_date

from jobs import lifecycle, links, outcomes, pipeline, transitions
from jobs.models import HostedFile, Job
from tests.api.caller import Api, assert_problem, upload_token
from tests.jobs.making import HOPPER, SMALL_JOB, claim

CONTENT = bytes(range(256)) * 4
SIZE = len(CONTENT)
ETAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
MTIME = 1_700_000_000


def put(path: str, content: bytes = CONTENT, mtime: int = MTIME) -> Path:
    """A file that somebody put below the folder by hand."""
    file = Path(settings.PIXERVE.serve_dir) / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    os.utime(file, (mtime, mtime))
    return file


def test_a_made_file_in_full(api: Api) -> None:
    job = {**SMALL_JOB, "subDir": "a/b"}
    name = api.upload(HOPPER, token=upload_token(job)).json()["expected_files"][0]
    pipeline.wake()
    row = HostedFile.objects.get()
    answer = api.get(f"/files/a/b/{name}")
    assert answer.status_code == 200
    assert hashlib.sha256(answer.body).hexdigest() == row.sha256
    assert answer["ETag"] == f'"{row.sha256}"'
    assert answer["Content-Type"] == "image/jpeg"
    assert answer["Content-Length"] == str(len(answer.body))
    assert answer["Last-Modified"] == http_date(row.mtime_ns // 10**9)


def test_the_headers_that_keep_a_browser_safe(api: Api) -> None:
    put("x.bin")
    answer = api.get("/files/x.bin")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer["Cache-Control"] == "public, no-cache"
    assert answer["Accept-Ranges"] == "bytes"
    assert "Set-Cookie" not in answer


def test_head_is_get_without_the_body(api: Api) -> None:
    put("x.bin")
    whole, head = api.get("/files/x.bin"), api.call("HEAD", "/files/x.bin")
    assert head.status_code == 200
    assert head.body == b""
    for name in ("Content-Length", "Content-Type", "ETag", "Last-Modified", "Accept-Ranges"):
        assert head[name] == whole[name]
    assert head["Content-Length"] == str(SIZE)


def test_head_of_a_range(api: Api) -> None:
    put("x.bin")
    head = api.call("HEAD", "/files/x.bin", HTTP_RANGE="bytes=0-9")
    assert (head.status_code, head["Content-Length"], head.body) == (206, "10", b"")


# Conditions

FRESH = [
    {"HTTP_IF_NONE_MATCH": ETAG},
    {"HTTP_IF_NONE_MATCH": f"W/{ETAG}"},
    {"HTTP_IF_NONE_MATCH": f'"other", {ETAG}'},
    {"HTTP_IF_NONE_MATCH": "*"},
    {"HTTP_IF_MODIFIED_SINCE": http_date(MTIME)},
    {"HTTP_IF_MODIFIED_SINCE": http_date(MTIME + 60)},
]
STALE = [
    {"HTTP_IF_NONE_MATCH": '"other"'},
    {"HTTP_IF_MODIFIED_SINCE": http_date(MTIME - 1)},
    {"HTTP_IF_MODIFIED_SINCE": "yesterday"},
    {"HTTP_IF_NONE_MATCH": '"other"', "HTTP_IF_MODIFIED_SINCE": http_date(MTIME)},
]


@pytest.mark.parametrize("condition", FRESH)
def test_what_the_caller_has_is_not_sent_again(api: Api, condition: dict[str, str]) -> None:
    put("x.bin")
    answer = api.get("/files/x.bin", **condition)
    assert (answer.status_code, answer.body, answer["ETag"]) == (304, b"", ETAG)
    assert answer["Cache-Control"] == "public, no-cache"


@pytest.mark.parametrize("condition", STALE)
def test_what_the_caller_has_not_is_sent(api: Api, condition: dict[str, str]) -> None:
    put("x.bin")
    answer = api.get("/files/x.bin", **condition)
    assert (answer.status_code, answer.body) == (200, CONTENT)


def test_if_match(api: Api) -> None:
    put("x.bin")
    assert api.get("/files/x.bin", HTTP_IF_MATCH=ETAG).status_code == 200
    assert api.get("/files/x.bin", HTTP_IF_MATCH='"other"').status_code == 412


# Ranges

GOOD = {
    "bytes=0-0": (0, 0),
    "bytes=0-": (0, SIZE - 1),
    "bytes=10-19": (10, 19),
    "bytes=1000-": (1000, SIZE - 1),
    "bytes=1000-999999": (1000, SIZE - 1),
    "bytes=-1": (SIZE - 1, SIZE - 1),
    "bytes=-24": (1000, SIZE - 1),
    "bytes=-999999": (0, SIZE - 1),
    f"bytes={SIZE - 1}-{SIZE - 1}": (SIZE - 1, SIZE - 1),
}
OUTSIDE = [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=999999-", "bytes=-0"]
IGNORED = [
    "bytes=-",
    "bytes=",
    "bytes=a-b",
    "bytes=0-1,5-6",
    "bytes 0-1",
    "lines=0-1",
    "0-1",
    "bytes=--1",
    "bytes=0x0-0x1",
    "bytes=" + "9" * 40 + "-",
]


@pytest.mark.parametrize("asked", GOOD)
def test_one_range(api: Api, asked: str) -> None:
    put("x.bin")
    first, last = GOOD[asked]
    answer = api.get("/files/x.bin", HTTP_RANGE=asked)
    assert answer.status_code == 206
    assert answer.body == CONTENT[first : last + 1]
    assert answer["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer["Content-Length"] == str(last - first + 1)
    assert answer["ETag"] == ETAG


@pytest.mark.parametrize("asked", OUTSIDE)
def test_a_range_outside_the_file(api: Api, asked: str) -> None:
    put("x.bin")
    answer = api.get("/files/x.bin", HTTP_RANGE=asked)
    assert_problem(answer, 416, "range_not_satisfiable")
    assert answer["Content-Range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize("asked", IGNORED)
def test_a_range_that_is_none_or_several_is_ignored(api: Api, asked: str) -> None:
    put("x.bin")
    answer = api.get("/files/x.bin", HTTP_RANGE=asked)
    assert (answer.status_code, answer.body) == (200, CONTENT)
    assert "Content-Range" not in answer


@pytest.mark.parametrize("validator", [ETAG, http_date(MTIME)])
def test_if_range_holds(api: Api, validator: str) -> None:
    put("x.bin")
    answer = api.get("/files/x.bin", HTTP_RANGE="bytes=0-3", HTTP_IF_RANGE=validator)
    assert (answer.status_code, answer.body) == (206, CONTENT[:4])


@pytest.mark.parametrize(
    "validator", ['"other"', f"W/{ETAG}", http_date(MTIME + 1), http_date(MTIME - 1), "nonsense"]
)
def test_if_range_does_not_hold(api: Api, validator: str) -> None:
    put("x.bin")
    answer = api.get("/files/x.bin", HTTP_RANGE="bytes=0-3", HTTP_IF_RANGE=validator)
    assert (answer.status_code, answer.body) == (200, CONTENT)


def test_an_empty_file(api: Api) -> None:
    put("empty.bin", b"")
    answer = api.get("/files/empty.bin")
    assert (answer.status_code, answer.body, answer["Content-Length"]) == (200, b"", "0")
    assert api.get("/files/empty.bin", HTTP_RANGE="bytes=0-").status_code == 416


# The folder

OUTSIDE_PATHS = [
    "../secret.txt",
    "a/../../secret.txt",
    "a/../x.bin",
    "%2e%2e/secret.txt",
    "%2e%2e%2fsecret.txt",
    "..%2fsecret.txt",
    "..%5csecret.txt",
    "..\\secret.txt",
    "/etc/passwd",
    "%2fetc/passwd",
    "./x.bin",
    "a//x.bin",
    ".hidden",
    "a/.hidden",
    ".tmp-0011223344556677",
    "x.bin/",
    "x.bin/x",
    "x.bin%00",
    "x.bin%0a",
    "a",
    "a/",
    "",
    "nothing",
    "%ff%fe",
    "x" * 300,
    "a/" * 500 + "x",
]


@pytest.mark.parametrize("path", OUTSIDE_PATHS)
def test_nothing_is_there(api: Api, path: str) -> None:
    for name in ("x.bin", "a/x.bin", ".hidden", "a/.hidden", ".tmp-0011223344556677"):
        put(name)
    put("../secret.txt")
    answer = api.get(f"/files/{path}")
    assert answer.status_code == 404, answer
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] in {"file_not_found", "not_found"}


@pytest.mark.parametrize("target", ["../secret.txt", "x.bin", "/etc/passwd", "a"])
def test_no_symbolic_link_is_followed(api: Api, target: str) -> None:
    put("x.bin")
    put("a/x.bin")
    secret = put("../secret.txt")
    (Path(settings.PIXERVE.serve_dir) / "link").symlink_to(target)
    assert_problem(api.get("/files/link"), 404, "file_not_found")
    assert_problem(api.get("/files/link/x.bin"), 404, "file_not_found")
    assert secret.exists()


def test_a_linked_folder_leads_nowhere(api: Api, tmp_path: Path) -> None:
    put("x.bin")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "y.bin").write_bytes(b"secret")
    (Path(settings.PIXERVE.serve_dir) / "sub").symlink_to(tmp_path / "outside")
    assert_problem(api.get("/files/sub/y.bin"), 404, "file_not_found")


def test_a_pipe_is_no_file(api: Api) -> None:
    put("x.bin")
    os.mkfifo(Path(settings.PIXERVE.serve_dir) / "pipe")
    assert_problem(api.get("/files/pipe"), 404, "file_not_found")


def test_without_any_folder_yet(api: Api) -> None:
    assert not Path(settings.PIXERVE.serve_dir).exists()
    assert_problem(api.get("/files/x.bin"), 404, "file_not_found")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods(api: Api, method: str) -> None:
    file = put("x.bin")
    answer = api.call(method, "/files/x.bin")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer["Allow"] == "GET, HEAD"
    assert file.read_bytes() == CONTENT


# Files put there by hand


def test_a_file_replaced_by_hand_gets_another_etag(api: Api) -> None:
    name = api.upload(HOPPER).json()["expected_files"][0]
    pipeline.wake()
    before = api.get(f"/files/{name}")["ETag"]
    put(name, CONTENT)
    after = api.get(f"/files/{name}")
    assert (after.body, after["ETag"]) == (CONTENT, ETAG) != (CONTENT, before)
    row = HostedFile.objects.get()
    assert (f'"{row.sha256}"', row.bytes, row.mtime_ns) == (ETAG, SIZE, MTIME * 10**9)
    assert api.get(f"/files/{name}", HTTP_IF_NONE_MATCH=before).status_code == 200


def test_a_file_without_a_row_is_hashed_once(api: Api) -> None:
    put("x.bin")
    first = api.get("/files/x.bin")
    row = HostedFile.objects.get(path="x.bin")
    assert first["ETag"] == f'"{row.sha256}"' == api.get("/files/x.bin")["ETag"]
    assert (row.job, row.reference) == (None, None)


@pytest.mark.parametrize("private", [False, True])
def test_who_fetches_a_file_before_its_job_ends_does_not_make_it_stay(
    api: Api, private: bool
) -> None:
    sent = upload_token({**SMALL_JOB, "private": private})
    name = api.upload(HOPPER, token=sent).json()["expected_files"][0]
    job = claim()  # whose worker has put the file there, and was killed
    if private:
        outcomes.announce(job, [name], private=True)
    put(name)
    path = f"/files/{name}" + (links.query(name) if private else "")
    assert api.get(path).body == CONTENT
    transitions.put_back(job)
    lifecycle.cancel(Job.objects.get())
    assert api.get(path).status_code == 404
    assert not HostedFile.objects.exists()


HTML = b"<!doctype html><script>alert(document.domain)</script>"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("page.html", HTML, "application/octet-stream"),
        ("page.htm", HTML, "application/octet-stream"),
        ("page.xhtml", HTML, "application/octet-stream"),
        ("page.xml", HTML, "application/octet-stream"),
        ("page", HTML, "application/octet-stream"),
        ("code.js", b"alert(1)", "application/octet-stream"),
        ("style.css", b"a{}", "application/octet-stream"),
        ("doc.pdf", b"%PDF-1.4", "application/octet-stream"),
        ("a.svg", SVG, "application/octet-stream"),
        ("a.SVG", SVG, "application/octet-stream"),
        ("a.svgz", SVG, "application/octet-stream"),
        ("lie.jpg", HTML, "image/jpeg"),
        ("true.html", HOPPER, "image/jpeg"),
    ],
)
def test_a_page_put_there_is_never_served_as_one(
    api: Api, name: str, content: bytes, media_type: str
) -> None:
    put(name, content)
    answer = api.get(f"/files/{name}")
    assert answer["Content-Type"] == media_type
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer["Content-Security-Policy"]


# A proxy that sends the bytes


def test_x_accel_redirect(api: Api, configure: Callable[..., None]) -> None:
    configure(sendfile="x-accel:/internal/")
    put("a b/ü%.bin")
    answer = api.get("/files/a%20b/%C3%BC%25.bin")
    assert (answer.status_code, answer.body) == (200, b"")
    assert answer["X-Accel-Redirect"] == "/internal/a%20b/%C3%BC%25.bin"
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["ETag"] == ETAG
    assert "sandbox" in answer["Content-Security-Policy"]


def test_x_sendfile(api: Api, configure: Callable[..., None]) -> None:
    configure(sendfile="x-sendfile")
    file = put("a/x.bin")
    answer = api.get("/files/a/x.bin")
    assert (answer.status_code, answer.body, answer["X-Sendfile"]) == (200, b"", str(file))


def test_the_proxy_is_only_told_what_may_be_sent(api: Api, configure: Callable[..., None]) -> None:
    configure(sendfile="x-sendfile")
    put("x.bin")
    (Path(settings.PIXERVE.serve_dir) / "link").symlink_to("/etc/passwd")
    for path in ("link", "../x.bin", "nothing"):
        answer = api.get(f"/files/{path}")
        assert answer.status_code == 404
        assert "X-Sendfile" not in answer
    assert api.get("/files/x.bin", HTTP_IF_NONE_MATCH=ETAG).status_code == 304
