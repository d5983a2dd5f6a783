"""The load suite finds what it looks for: a few uploads, and a server that is lied about."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.accounting import ENGINE, ours
from benchmarks.load import run
from benchmarks.load.client import Connection, Log, upload_all
from benchmarks.load.fairness import Ended, Visitors
from benchmarks.load.pictures import distinct
from benchmarks.load.report import Report, describe
from benchmarks.load.watch import Gate
from benchmarks.spread import percentile
from tests.acceptance.evidence import QUICK_JOB, SMALL
from tests.server import Pixerve, make_token

FIRST = 7_000_000
picture = partial(distinct, SMALL)


@pytest.fixture(scope="module")
def found(server: Pixerve) -> run.Outcome:
    numbers = range(FIRST, FIRST + 12)
    strangers = picture, range(FIRST + 12, FIRST + 14)
    return run.measure(server, QUICK_JOB, picture, numbers, 4, in_flight=8, strangers=strangers)


def test_every_upload_is_accounted_for(found: run.Outcome) -> None:
    assert (len(found.log.sent), len(found.jobs), len(found.visits)) == (12, 14, 2)
    assert (found.lost, found.missing, found.log.errors) == (0, 0, [])
    assert all(0 < each < found.wall_s for each in found.upload_to_done_s())
    assert all(each.took_s <= found.accepted_s for each in found.log.sent)
    assert 0 < found.cost[ENGINE] < ours(found.cost)
    assert "12 taken" in next(describe(found))


def test_what_did_not_complete_is_lost(found: run.Outcome) -> None:
    first, *_ = found.log.sent
    jobs = {uid: job for uid, job in found.jobs.items() if uid != first.uid}
    assert run.Outcome(found.log, jobs, found.cost, 1, 1).lost == 1


def test_a_file_that_is_gone_is_missing(server: Pixerve, tmp_path: Path) -> None:
    def without_one(number: int) -> bytes:
        if number == FIRST + 101:  # the one before has ended
            [*_, newest] = sorted(server.serve_dir.rglob("*.jpg"), key=lambda p: p.stat().st_mtime)
            newest.rename(tmp_path / "gone")
        return picture(number)

    numbers = range(FIRST + 100, FIRST + 102)
    assert run.measure(server, QUICK_JOB, without_one, numbers, 1, in_flight=1).missing == 1


def test_a_refusal_for_good_is_an_error(server: Pixerve) -> None:
    token = make_token({"formats": {"bmp": {}}, "directHost": True})
    log = upload_all(server, token, picture, range(2), concurrency=2, gate=Gate(1))
    assert (log.sent, len(log.errors)) == ([], 2)
    assert log.errors[0].startswith("422")


@contextmanager
def refusing(status: int) -> Iterator[tuple[Pixerve, list[int]]]:
    """Answers this twice, with when to come again, and then takes the upload."""
    answers = [202, status, status]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = b'{"code": "queue_too_old", "job_id": "a-b"}'
            self.send_response(answers.pop())
            self.send_header("Retry-After", "0.01")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield Pixerve(Path("/nonexistent"), server.server_port), answers
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("status", [429, 503])
def test_who_is_asked_to_come_again_does(status: int) -> None:
    log = Log()
    with refusing(status) as (server, answers):
        connection = Connection(server, "token", log)
        sent = connection.upload(SMALL)
        connection.close()
    assert sent is not None
    assert (sent.uid, answers, log.errors) == ("ab", [], [])
    assert log.refused == {f"{status} queue_too_old": 2}


def test_who_overtakes_a_stranger_is_counted(found: run.Outcome) -> None:
    visitors = Visitors(Log(sent=found.log.sent[:1]))
    [mine] = [each.uid for each in visitors.log.sent]
    at = visitors.log.sent[0].answered

    def job(claimed: float) -> Ended:
        return Ended("tenant", "completed", at - 9, at + claimed, at + 9)

    jobs = {"a": job(-1), "b": job(1), "c": job(2), "d": job(4), mine: job(3)}
    assert [(each.waiting, each.overtaken_by) for each in visitors.visits(jobs, "tenant")] == [
        (4, 2)
    ]


def test_growing_memory_is_seen(found: run.Outcome) -> None:
    def growth(mib: list[float]) -> float | None:
        looks = [(at + 1, {"web": each}) for at, each in enumerate(mib)]
        return run.Outcome(found.log, found.jobs, {}, 1, 1, looks).memory_growth()

    assert growth([50.0] * len(found.jobs)) == pytest.approx(0)
    assert growth([50.0 + at for at in range(len(found.jobs))]) == pytest.approx(9 / 53, rel=0.1)
    assert growth([50.0, 60.0]) is None


def test_a_missed_limit_ends_in_failure() -> None:
    report = Report()
    report.judge("lost = 0", "here", "0", met=True)
    report.judge("memory", "here", "", met=None)
    assert report.good
    report.judge("p99", "here", "40 ms", met=False)
    assert not report.good
    assert list(report.table())[-1] == "| p99 | here | 40 ms | **no** |"


def test_percentiles() -> None:
    assert [percentile([3, 1, 2, 4], p) for p in (0, 50, 99, 100)] == [1, 2, 4, 4]
