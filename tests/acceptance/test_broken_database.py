"""A database that fails at the very moment when somebody dies or stops changes nothing about it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psutil
import pytest

from tests.acceptance.evidence import (
    QUICK_JOB,
    SMALL,
    another,
    cast,
    check_ended_once_and_right,
    family,
    post,
    staged,
    wait_ended,
)
from tests.acceptance.test_streaming import answer_to, head
from tests.server import Pixerve, make_token, running, wait_for


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pixerve]:
    with running(tmp_path_factory.mktemp("broken"), PIXERVE_MAX_WORKERS="2") as server:
        yield server


@contextmanager
def without_the_job_table(server: Pixerve) -> Iterator[None]:
    """Each query for a job fails at once for the length of a `with`."""
    with closing(sqlite3.connect(server.data / "pixerve.sqlite3", timeout=20)) as database:
        database.execute("ALTER TABLE jobs_job RENAME TO away")
        try:
            yield
        finally:
            database.execute("ALTER TABLE away RENAME TO jobs_job")


def check_it_works(server: Pixerve, mark: str) -> None:
    uid = post(server, another(SMALL, mark), QUICK_JOB)
    wait_ended(server, [uid])
    check_ended_once_and_right(server, [uid])


def test_an_upload_is_refused_before_its_body(broken: Pixerve) -> None:
    token = make_token(QUICK_JOB)
    with without_the_job_table(broken):
        status, body = answer_to(broken, head(broken, 50 * 2**20, token))
    assert (status, body["code"]) == (503, "database_unavailable")
    assert not staged(broken)
    check_it_works(broken, "after the refusal")


def test_a_cluster_gives_up_as_ever(broken: Pixerve) -> None:
    found = cast(broken, workers=2)
    with without_the_job_table(broken):
        found.workers[0].kill()
        assert psutil.wait_procs([found.sentinel, found.cluster], timeout=10)[1] == []
    wait_for(lambda: cast(broken, workers=2).cluster != found.cluster, what="a new cluster")
    check_it_works(broken, "after the death")


def test_a_stop_is_as_clean_as_ever(broken: Pixerve) -> None:
    found = cast(broken, workers=2)
    assert broken.process is not None
    found.clerk.suspend()  # the stop waits for it, and the workers leave a database in order
    broken.process.terminate()
    assert psutil.wait_procs([found.cluster, found.web], timeout=15)[1] == []
    with without_the_job_table(broken):
        found.clerk.resume()
        assert broken.process.wait(15) == 0
    assert family(broken) == []
    broken.start()
    check_it_works(broken, "after the stop")
