"""Jobs and workers that kill each other, and one that sleeps; who dies when is in tests/faults."""

import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import Any, NamedTuple

import psutil
import pytest

from tests.acceptance.evidence import (
    PHOTO,
    QUICK_JOB,
    SMALL,
    another,
    cast,
    check_ended_once_and_right,
    converter,
    family,
    holder,
    job_row,
    post,
    rows,
    slow_job,
    staged,
    wait_ended,
)
from tests.server import Pixerve, make_token, multipart, running, wait_for

pytestmark = pytest.mark.faults

WORKERS = 2


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pixerve]:
    with running(tmp_path_factory.mktemp("victim"), PIXERVE_MAX_WORKERS=str(WORKERS)) as server:
        yield server


class Sleeper(NamedTuple):
    """A worker that stopped in the middle of a job, and the job as it was when it was woken."""

    server: Pixerve
    uid: str
    worker: psutil.Process
    ended: "Future[dict[str, Any]]"


@pytest.fixture(scope="module", autouse=True)
def sleeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sleeper]:
    """Put to sleep before the other tests begin, because a lease takes 30 s to run out; woken when
    another worker has done the job, before the watchdog ends what is stopped for too long."""
    with (
        running(tmp_path_factory.mktemp("sleeper"), PIXERVE_MAX_WORKERS=str(WORKERS)) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        uid = post(server, another(PHOTO, "sleeper"), slow_job(500))
        worker = holder(server, uid)
        staging = server.data / "staging"
        wait_for(lambda: [*staging.rglob("*.part")], what="a rendition in the making")
        worker.suspend()
        assert job_row(server, uid)["state"] == "processing"
        yield Sleeper(server, uid, worker, pool.submit(wake_late, server, uid, worker))


def wake_late(server: Pixerve, uid: str, worker: psutil.Process) -> dict[str, Any]:
    wait_ended(server, [uid], within_s=90)
    ended = dict(job_row(server, uid))
    worker.resume()
    return ended


@pytest.fixture
def victim(one_server: Pixerve) -> Pixerve:
    """A server to be harmed, which came back by itself from whatever was done to it before."""
    wait_for(lambda: healthy(one_server), what="an answer of the web process")
    cast(one_server, workers=WORKERS)
    return one_server


def healthy(server: Pixerve) -> bool:
    try:
        return server.get("/health", timeout_s=5).status == 200
    except OSError:
        return False


@contextmanager
def half_an_upload(server: Pixerve) -> Iterator[None]:
    """One that is in staging as far as it came, and never ends."""
    body, content_type = multipart([("file", "half.jpg", PHOTO)])
    headers = {
        "Authorization": f"Bearer {make_token(QUICK_JOB)}",
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
    }
    before = staged(server)
    with closing(HTTPConnection("127.0.0.1", server.port)) as connection:
        connection.putrequest("POST", "/upload")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body[: len(body) // 2])
        wait_for(lambda: staged(server) - before, what="the beginning of it")
        yield


def test_a_web_process_killed_in_the_middle_of_an_upload(victim: Pixerve) -> None:
    """What it left is looked at below, when it had its time."""
    web = cast(victim, workers=WORKERS).web
    with half_an_upload(victim):
        for process in [*web.children(), web]:
            process.kill()
    wait_for(lambda: healthy(victim), what="an answer of the web process")


def test_a_job_that_kills_its_worker_three_times_fails_and_its_neighbour_does_not(
    victim: Pixerve,
) -> None:
    guilty = post(victim, another(PHOTO, "guilty"), slow_job(1200, 1201))
    innocent = post(victim, another(PHOTO, "innocent"), slow_job(500, 501))
    for lost in range(3):
        workers = [holder(victim, guilty), holder(victim, innocent)]
        assert workers[0] != workers[1]
        assert job_row(victim, guilty)["lost_leases"] == lost
        workers[0].kill()
        wait_for(lambda n=lost: over(victim, guilty, n + 1), what="the lease's end")

    wait_ended(victim, [guilty, innocent])
    assert job_row(victim, guilty)["error_code"] == "worker_lost"
    [[failures]] = rows(
        victim,
        "SELECT count(*) FROM jobs_failure WHERE job_id = ?",
        job_row(victim, guilty)["id"],
    )
    assert failures == 1
    neighbour = job_row(victim, innocent)
    assert (neighbour["state"], neighbour["lost_leases"]) == ("completed", 0)


def over(server: Pixerve, uid: str, lost: int) -> bool:
    """Whether the job lost its worker for the `lost`-th time, and knows it."""
    job = job_row(server, uid)
    return job["state"] == "failed" or job["lost_leases"] == lost


def test_a_picture_that_crashes_the_converter_twice_fails(victim: Pixerve) -> None:
    uid = post(victim, another(PHOTO, "deadly"), slow_job(1200))
    for crashes in range(2):
        worker = holder(victim, uid)
        wait_for(lambda n=crashes: job_row(victim, uid)["crashes"] == n, what="the count")
        process = converter(worker)
        assert process is not None
        process.send_signal(signal.SIGSEGV)
        wait_for(
            lambda p=process: not p.is_running() or p.status() == psutil.STATUS_ZOMBIE,
            what="the child's end",
        )

    wait_ended(victim, [uid])
    job = job_row(victim, uid)
    assert (job["state"], job["error_code"], job["attempts"]) == ("failed", "decoder_crashed", 2)
    assert "SIGSEGV" in job["error_message"]
    after = post(victim, another(SMALL, "after the deadly one"), QUICK_JOB)
    wait_ended(victim, [after])
    assert job_row(victim, after)["state"] == "completed"


def test_a_worker_that_slept_past_its_lease_writes_nothing(sleeper: Sleeper) -> None:
    server, uid = sleeper.server, sleeper.uid
    ended = sleeper.ended.result(timeout=90)
    assert (ended["attempts"], ended["lost_leases"], ended["owner"]) == (2, 1, "")
    wait_for(lambda: "was given to somebody else" in server.log, what="the sleeper's waking up")

    assert dict(job_row(server, uid)) == ended
    check_ended_once_and_right(server, [uid])
    assert sleeper.worker.is_running()


def test_what_a_killed_web_process_was_taking_goes_by_itself(victim: Pixerve) -> None:
    wait_for(lambda: not staged(victim), within_s=90, what="clean staging")


def test_nothing_is_left_after_the_stop(victim: Pixerve) -> None:
    work = victim.data / "run" / "work"
    # What the clusters that the tests above killed left there is gone.
    assert [each.name for each in work.iterdir()] == [
        str(cast(victim, workers=WORKERS).cluster.pid)
    ]
    assert len(family(victim)) > WORKERS

    assert victim.stop() == 0

    assert family(victim) == []
    assert list(work.iterdir()) == []
