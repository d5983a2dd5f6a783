"""deploy/nginx in front of a running Pixerve: what it lets through, what it adds, what it cuts."""

import hashlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pixerve_site.config import Config
from tests.acceptance.evidence import QUICK_JOB, SMALL, another, wait_ended
from tests.deploy.conftest import Split
from tests.peers import nginx
from tests.peers.nginx import Nginx
from tests.server import Answer, make_token, multipart

pytestmark = pytest.mark.skipif(nginx.program() is None, reason="nginx is not installed")

BODY_LIMIT = 1 << 20
# Smaller and shorter than in the example, so that nothing has to wait for it.
CHANGES = {
    "client_max_body_size 101m;": "client_max_body_size 1m;",
    "client_header_timeout 10s;": "client_header_timeout 1s;",
}


@pytest.fixture(scope="module")
def front(split: Split, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("nginx")
    with nginx.running(
        folder, upstream=split.web.port, files=split.web.serve_dir, changes=CHANGES
    ) as found:
        yield found


def ask(front: Nginx, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    context = ssl.create_default_context(cafile=str(front.folder / "certificate.pem"))
    context.check_hostname = False
    connection = http.client.HTTPSConnection("127.0.0.1", front.port, timeout=20, context=context)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body or None, {"Host": nginx.NAME, **headers})
    answer = connection.getresponse()
    found = Answer(answer.status, dict(answer.getheaders()), answer.read())
    connection.close()
    return found


def upload(front: Nginx, content: bytes, job: dict[str, Any]) -> Answer:
    body, content_type = multipart([("file", "photo.jpg", content)])
    token = f"Bearer {make_token(job)}"
    return ask(front, "POST", "/upload", body, Authorization=token, Content_Type=content_type)


@pytest.fixture(scope="module")
def hosted(front: Nginx, split: Split) -> str:
    """The path of a file that was uploaded through nginx."""
    answer = upload(front, another(SMALL, "through nginx"), QUICK_JOB)
    assert answer.status == 202, answer.body
    found = answer.json()
    assert found["status_url"].startswith("https://images.example.com/")
    wait_ended(split.web, [found["job_id"].replace("-", "")])
    return f"/files/{found['expected_files'][0]}"


def test_nginx_has_nothing_to_say_about_it(front: Nginx) -> None:
    said = nginx.check(front.folder)
    assert "test is successful" in said
    assert "[warn]" not in said


def test_the_body_limit_is_pixerves() -> None:
    limit = Config().request_limit
    text = (nginx.EXAMPLES / "pixerve-locations.conf").read_text()
    assert f"client_max_body_size {limit >> 20}m;" in text
    assert limit % (1 << 20) == 0


def test_nginx_sends_the_file_with_our_headers(front: Nginx, hosted: str, split: Split) -> None:
    content = (split.web.serve_dir / hosted.removeprefix("/files/")).read_bytes()
    answer = ask(front, "GET", hosted)
    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "public, no-cache"
    assert "X-Accel-Redirect" not in answer.headers


def test_conditions_and_ranges_hold_through_nginx(front: Nginx, hosted: str) -> None:
    whole = ask(front, "GET", hosted)
    same = ask(front, "GET", hosted, If_None_Match=whole.headers["ETag"])
    assert (same.status, same.body) == (304, b"")
    part = ask(front, "GET", hosted, Range="bytes=5-9")
    assert (part.status, part.body) == (206, whole.body[5:10])
    assert ask(front, "HEAD", hosted).headers["Content-Length"] == str(len(whole.body))


def test_the_inner_location_is_closed(front: Nginx, hosted: str) -> None:
    path = hosted.replace("/files/", "/internal-files/")
    assert ask(front, "GET", path).status == 404


def test_pixerve_hears_that_the_client_speaks_https(front: Nginx) -> None:
    answer = ask(front, "GET", "/admin/login/")
    assert answer.status == 200
    assert "Strict-Transport-Security" in answer.headers


def test_plain_http_is_sent_to_https(front: Nginx) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", front.plain_port, timeout=20)
    connection.request("POST", "/upload", b"", {"Host": nginx.NAME})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Location"]) == (308, "https://images.example.com/upload")
    connection.close()


def test_too_large_a_body_is_refused_like_one_of_ours(front: Nginx) -> None:
    answer = upload(front, another(SMALL, "large", size=BODY_LIMIT + 1), QUICK_JOB)
    assert answer.status == 413
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert (problem["code"], problem["status"]) == ("body_too_large", 413)
    assert ask(front, "GET", "/livez").status == 200


def test_who_is_slow_with_its_headers_is_cut(front: Nginx) -> None:
    context = ssl.create_default_context(cafile=str(front.folder / "certificate.pem"))
    begun = time.monotonic()
    with (
        socket.create_connection(("127.0.0.1", front.port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=nginx.NAME) as slow,
    ):
        slow.sendall(b"GET / HTTP/1.1\r\nHost: images.example.com\r\nX-Slow: ")
        assert slow.recv(1) == b""
    assert time.monotonic() - begun < 10


def test_signatures_of_links_stay_out_of_the_log(front: Nginx, hosted: str) -> None:
    assert ask(front, "GET", f"{hosted}?signature=very-secret").status == 200
    assert f'"GET {hosted} HTTP/1.1"' in front.log
    assert "very-secret" not in front.log


def test_a_server_that_is_away_is_said_as_we_would(
    tmp_path_factory: pytest.TempPathFactory, split: Split
) -> None:
    folder = tmp_path_factory.mktemp("nginx")
    with (
        socket.socket() as nobody,
        nginx.running(
            folder, upstream=_closed(nobody), files=split.web.serve_dir, changes={}
        ) as front,
    ):
        answer = ask(front, "GET", "/health")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json()["code"] == "server_away"


def _closed(taken: socket.socket) -> int:
    """A port that is taken, and where nobody listens."""
    taken.bind(("127.0.0.1", 0))
    return int(taken.getsockname()[1])
