"""A cluster that lives and does nothing is ended by the clerk, and started anew."""

import json
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from pytest_django import Settings

from jobs.clerk import Watchdog
from tests.acceptance.evidence import (
    PHOTO,
    QUICK_JOB,
    SMALL,
    Cast,
    another,
    cast,
    check_ended_once_and_right,
    job_row,
    post,
    slow_job,
    wait_ended,
)
from tests.acceptance.hasty import TIMEOUT_S
from tests.server import ROOT, Pixerve, running, wait_for

pytestmark = pytest.mark.faults


def new_cluster(server: Pixerve, before: Cast) -> None:
    wait_for(lambda: not before.cluster.is_running(), within_s=60, what="the end of the old one")
    assert cast(server, workers=1).cluster != before.cluster


def test_a_pusher_that_stopped_holds_nothing_up_for_long(single: Pixerve) -> None:
    before = cast(single, workers=1)
    before.pusher.suspend()
    uids = [post(single, another(SMALL, f"pusher {each}"), QUICK_JOB) for each in range(2)]

    new_cluster(single, before)

    wait_ended(single, uids)
    check_ended_once_and_right(single, uids)
    assert "the cluster hangs: work waits and nobody claims it" in single.log
    assert {job_row(single, uid)["lost_leases"] for uid in uids} == {0}


Choice = Callable[[Cast], psutil.Process]
CHOICES: dict[str, Choice] = {
    "monitor": lambda found: found.monitor,
    "idle worker": lambda found: found.workers[0],
    "sentinel": lambda found: found.sentinel,
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("choice", CHOICES)
def test_a_process_that_stopped_is_found_though_nothing_waits(
    single: Pixerve, settings: Settings, choice: str
) -> None:
    """By a watchdog of ours, which is less patient than the server's own."""
    settings.PIXERVE = settings.PIXERVE.model_copy(update={"data_dir": single.data})
    before = cast(single, workers=1)
    dog = Watchdog(stopped_s=0.5)
    assert dog.look() is False
    CHOICES[choice](before).suspend()

    wait_for(dog.look, what="the watchdog's bite")

    new_cluster(single, before)
    uid = post(single, another(SMALL, choice), QUICK_JOB)
    wait_ended(single, [uid])
    check_ended_once_and_right(single, [uid])


def test_a_long_job_that_shows_life_is_no_hang(tmp_path: Path) -> None:
    """Though a task has less time than it takes."""
    hasty = {"DJANGO_SETTINGS_MODULE": "tests.acceptance.hasty", "PYTHONPATH": str(ROOT)}
    with running(tmp_path, PIXERVE_MAX_WORKERS="1", **hasty) as server:
        before = cast(server, workers=1)
        uid = post(server, PHOTO, slow_job(*range(700, 820, 20)))
        wait_ended(server, [uid])
        check_ended_once_and_right(server, [uid])
        row = job_row(server, uid)
        assert sum(json.loads(row["timings"]).values()) > 1000 * TIMEOUT_S
        assert (row["attempts"], row["lost_leases"]) == (1, 0)
        assert cast(server, workers=1).cluster == before.cluster
