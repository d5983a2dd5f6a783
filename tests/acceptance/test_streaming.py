"""Uploads as a stream: memory stays flat, limits hold before and while the bytes come."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psutil
import pytest

from tests.acceptance.evidence import (
    PHOTO,
    QUICK_JOB,
    SMALL,
    another,
    cast,
    rows,
    staged,
    wait_ended,
)
from tests.server import IMAGES, Pixerve, make_token, multipart, running, wait_for

MIB = 2**20
LIMIT = 100 * MIB
CHUNK = 256 * 1024


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pixerve]:
    """A server that takes files of 1 MiB and three of them at once."""
    with running(
        tmp_path_factory.mktemp("narrow"),
        PIXERVE_MAX_WORKERS="1",
        PIXERVE_MAX_UPLOAD_BYTES="1 MiB",
        PIXERVE_MAX_FILES="3",
    ) as server:
        yield server


@contextmanager
def workers_asleep(server: Pixerve) -> Iterator[None]:
    """What is accepted in the meantime stays in flight."""
    asleep = [each for each in server.processes().values() if "cluster" in each.cmdline()]
    assert asleep
    for process in asleep:
        process.suspend()
    try:
        yield
    finally:
        for process in asleep:
            process.resume()


def pieces(body: bytes) -> Iterator[bytes]:
    view = memoryview(body)
    for start in range(0, len(body), CHUNK):
        yield bytes(view[start : start + CHUNK])


def stream(
    server: Pixerve, picture: bytes, *, token: str | None = None, chunked: bool = False
) -> tuple[int, dict[str, Any]]:
    """Upload piece by piece; with `chunked` without saying how much there is."""
    body, content_type = multipart([("file", "photo.jpg", picture)])
    headers = {
        "Authorization": f"Bearer {token or make_token(QUICK_JOB)}",
        "Content-Type": content_type,
    }
    if not chunked:
        headers["Content-Length"] = str(len(body))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request("POST", "/upload", pieces(body), headers, encode_chunked=chunked)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def head(server: Pixerve, length: int, token: str | None) -> bytes:
    """The head of an upload that announces `length` bytes."""
    lines = [
        "POST /upload HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Content-Type: multipart/form-data; boundary=edge",
        f"Content-Length: {length}",
        *([f"Authorization: Bearer {token}"] if token else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def answer_to(server: Pixerve, sent: bytes) -> tuple[int, dict[str, Any]]:
    """What the server says to these bytes alone, with the connection left open."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(sent)
        with closing(http.client.HTTPResponse(connection)) as answer:
            answer.begin()
            return answer.status, json.loads(answer.read())


def web_worker(server: Pixerve) -> psutil.Process:
    [worker] = cast(server, workers=1).web.children()
    return worker


def peak_bytes(process: psutil.Process) -> int:
    """The most memory that the process ever had (VmHWM of proc(5))."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:  # noqa: PTH123
        [line] = [line for line in status if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def test_100_mib_stream_through_in_flat_memory(single: Pixerve) -> None:
    assert single.wait_end(single.upload(SMALL, make_token(QUICK_JOB)).json()["hash"])
    worker = web_worker(single)
    before = worker.memory_info().rss
    picture = another(SMALL, "huge", size=LIMIT)
    assert len(picture) == LIMIT

    status, answer = stream(single, picture)

    assert status == 202, answer
    growth = peak_bytes(worker) - before
    assert growth < 40 * MIB, f"{growth / MIB:.1f} MiB"
    assert single.wait_end(answer["hash"])["state"] == "completed"
    wait_for(lambda: not staged(single), what="clean staging")


def test_one_byte_over_the_limit_of_a_file_is_refused(single: Pixerve) -> None:
    status, answer = stream(single, another(SMALL, "over", size=LIMIT + 1))
    assert (status, answer["code"], answer["field"]) == (413, "file_too_large", "file")
    assert not staged(single)


def test_a_length_over_the_limit_is_refused_before_the_body(single: Pixerve) -> None:
    started = time.monotonic()
    status, answer = answer_to(single, head(single, LIMIT + 2 * MIB, make_token(QUICK_JOB)))
    assert (status, answer["code"]) == (413, "body_too_large")
    assert time.monotonic() - started < 10
    assert not staged(single)


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        (None, 401, "not_authenticated"),
        (
            make_token(QUICK_JOB, secret="another secret, long enough to be one"),
            401,
            "invalid_token",
        ),
        (make_token(QUICK_JOB, lifetime_s=-60), 401, "token_expired"),
        (make_token(), 422, "job_missing"),
        (make_token({**QUICK_JOB, "formats": {"bmp": {}}}), 422, "invalid_spec"),
        (make_token({**QUICK_JOB, "storageKeys": {"s3": "nobody's"}}), 422, "unknown_storage_key"),
    ],
    ids=["no token", "foreign key", "expired", "no job", "unknown format", "unknown key"],
)
def test_a_bad_token_is_refused_before_the_body(
    single: Pixerve, token: str | None, status: int, code: str
) -> None:
    answer = answer_to(single, head(single, 50 * MIB, token))
    assert (answer[0], answer[1]["code"]) == (status, code)
    assert not staged(single)


def test_a_client_that_leaves_in_the_middle_leaves_nothing(single: Pixerve) -> None:
    body, _ = multipart([("file", "photo.jpg", PHOTO)])
    body = body.replace(body[2:34], b"edge")
    with socket.create_connection(("127.0.0.1", single.port), timeout=20) as connection:
        connection.sendall(head(single, len(body), make_token(QUICK_JOB)) + body[: len(body) // 2])
        wait_for(lambda: staged(single), what="the beginning in staging")
    wait_for(lambda: not staged(single), what="clean staging")
    assert single.get("/health").status == 200


def test_chunked_uploads_work(narrow: Pixerve) -> None:
    status, answer = stream(narrow, another(SMALL, "chunked"), chunked=True)
    assert status == 202, answer
    assert narrow.wait_end(answer["hash"])["state"] == "completed"


@pytest.mark.parametrize(
    ("size", "code"), [(MIB + 1, "file_too_large"), (4 * MIB, "body_too_large")]
)
def test_chunked_uploads_are_cut_at_the_limit(narrow: Pixerve, size: int, code: str) -> None:
    status, answer = stream(narrow, another(SMALL, "endless", size=size), chunked=True)
    assert (status, answer["code"]) == (413, code)
    wait_for(lambda: not staged(narrow), what="clean staging")


def test_a_batch_gives_each_file_its_own_answer(narrow: Pixerve) -> None:
    good, bad = another(SMALL, "batch"), (IMAGES / "imp_test1.svg").read_bytes()
    parts = [("file", "a.jpg", good), ("file", "b.jpg", bad), ("file", "c.jpg", good)]
    token = make_token(QUICK_JOB, subject="batch")

    with workers_asleep(narrow):
        answer = send(narrow, parts, token)

    assert answer[0] == 202
    uploads = answer[1]["uploads"]
    assert [(each["file"], each["status"]) for each in uploads] == [
        ("a.jpg", 202),
        ("b.jpg", 415),
        ("c.jpg", 409),
    ]
    assert [each.get("code") for each in uploads] == [
        None,
        "unsupported_type",
        "duplicate_in_flight",
    ]
    uids = [each["job_id"].replace("-", "") for each in uploads if each["status"] == 202]
    wait_ended(narrow, uids)
    wait_for(lambda: not staged(narrow), what="clean staging")
    [[jobs]] = rows(narrow, "SELECT count(*) FROM jobs_job WHERE subject = 'batch'")
    assert jobs == 1


def test_a_batch_without_a_good_file_has_the_first_error(narrow: Pixerve) -> None:
    bad = (IMAGES / "imp_test1.svg").read_bytes()
    parts = [("file", "a.svg", bad), ("file", "b.jpg", another(SMALL, "big", size=MIB + 1))]
    status, answer = send(narrow, parts, make_token(QUICK_JOB))
    assert status == 415
    assert [each["status"] for each in answer["uploads"]] == [415, 413]


def test_too_many_files_are_refused_as_one(narrow: Pixerve) -> None:
    parts = [("file", f"{each}.jpg", another(SMALL, f"many {each}")) for each in range(4)]
    status, answer = send(narrow, parts, make_token(QUICK_JOB, subject="many"))
    assert (status, answer["code"]) == (400, "too_many_files")
    assert not rows(narrow, "SELECT 1 FROM jobs_job WHERE subject = 'many'")
    wait_for(lambda: not staged(narrow), what="clean staging")


def send(
    server: Pixerve, parts: list[tuple[str, str, bytes]], token: str
) -> tuple[int, dict[str, Any]]:
    body, content_type = multipart(parts)
    answer = server.request(
        "POST", "/upload", token=token, body=body, headers={"Content-Type": content_type}
    )
    return answer.status, answer.json()
