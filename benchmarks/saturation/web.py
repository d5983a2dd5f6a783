"""Uploads, questions and files that one web process answers on one core."""

import http.client
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path

from benchmarks.accounting import between, cpu, on_cores, ours
from benchmarks.load.client import upload_all
from benchmarks.load.pictures import sized
from benchmarks.load.stacks import held_to, two_cores, warmed
from benchmarks.load.watch import Gate
from tests.peers import postgres
from tests.server import EXAMPLE_JOB, Pixerve, make_token

UPLOADS = ((0.05, 1500), (2, 600))  # megapixels, how many
READS = 3000
_CONCURRENCY = 8


def main(folder: Path, scale: float) -> None:
    theirs, mine = two_cores()
    with on_cores({mine}):
        for name, database in (("SQLite", nullcontext(None)), ("PostgreSQL", _postgres())):
            with database as url:
                env = {"PIXERVE_DATABASE_URL": url} if url else {}
                with held_to(theirs, folder / name, parts=("web",), **env) as server:
                    for megapixels, count in UPLOADS:
                        uploads(server, name, megapixels, max(20, int(count * scale)))
        with held_to(theirs, folder / "reads") as server:
            reads(server, max(50, int(READS * scale)))


@contextmanager
def _postgres() -> Iterator[str]:
    with postgres.running(durable=True) as found:
        yield found.make("pixerve")


def uploads(server: Pixerve, name: str, megapixels: float, count: int) -> None:
    """No worker runs: they wait."""
    picture = sized(megapixels)
    size = len(picture(0))
    token = make_token(EXAMPLE_JOB, subject=f"of {megapixels}")
    upload_all(server, token, picture, range(10), concurrency=2, gate=Gate(None))
    before, begun = cpu(server), time.monotonic()
    numbers = range(10, 10 + count)
    log = upload_all(server, token, picture, numbers, concurrency=_CONCURRENCY, gate=Gate(None))
    spent_s, cost = time.monotonic() - begun, between(before, cpu(server), count / 1000)
    assert not log.errors, log.errors[:3]
    beside = f", PostgreSQL {cost['PostgreSQL']:.1f} ms" if "PostgreSQL" in cost else ""
    print(
        f"web, {name}: uploads of {size / 1e3:.0f} kB: {count / spent_s:.0f}/s,"
        f" {count * size / spent_s / 1e6:.0f} MB/s; CPU of each {ours(cost):.1f} ms{beside}",
        flush=True,
    )


def reads(server: Pixerve, count: int) -> None:
    """Status, a small file, a large one, and one that the client has already."""
    warmed(server)
    token = make_token({**EXAMPLE_JOB, "keepOriginal": True})
    answer = server.upload(sized(6)(0), token).json()
    end = server.wait_end(answer["hash"], token)
    sizes = {each["url"].removeprefix(server.url): each["bytes"] for each in end["files"]}
    small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    etag = server.request("HEAD", small).headers["ETag"]
    who = {"Authorization": f"Bearer {token}"}
    for label, path, headers, of in (
        ("/status", f"/status?hash={answer['hash']}", who, count),
        (f"a file of {sizes[small] / 1e3:.0f} kB", small, {}, count),
        ("the same, not modified", small, {"If-None-Match": etag}, count),
        (f"a file of {sizes[large] / 1e3:.0f} kB", large, {}, count // 4),
    ):
        before, begun = cpu(server), time.monotonic()
        got = fetch(server, path, headers, of)
        spent_s, cost = time.monotonic() - begun, between(before, cpu(server), of / 1000)
        print(
            f"web: {label}: {of / spent_s:.0f}/s, {got / spent_s / 1e6:.0f} MB/s;"
            f" CPU of each {cost['web']:.2f} ms",
            flush=True,
        )


def fetch(server: Pixerve, path: str, headers: dict[str, str], count: int) -> int:
    """GET it so often over some kept connections; the bytes of all answers."""
    left, lock = iter(range(count)), threading.Lock()

    def work() -> int:
        connection, got = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60), 0
        while True:
            with lock:
                if next(left, None) is None:
                    connection.close()
                    return got
            connection.request("GET", path, headers=headers)
            with connection.getresponse() as answer:
                got += len(answer.read())
                assert answer.status in (200, 304), answer.status

    with ThreadPoolExecutor(_CONCURRENCY) as pool:
        return sum(each.result() for each in [pool.submit(work) for _ in range(_CONCURRENCY)])
