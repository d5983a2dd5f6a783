"""`serve PART …`: the parts of one Pixerve as services of their own."""

import sqlite3
from contextlib import closing

import psutil
import pytest
from django.core.management import CommandError, call_command

from tests.acceptance.evidence import (
    QUICK_JOB,
    SMALL,
    another,
    check_ended_once_and_right,
    held,
    job_row,
    post,
    wait_ended,
)
from tests.deploy.conftest import Split
from tests.server import ROOT, Pixerve


def parts_of(piece: Pixerve) -> set[str]:
    assert piece.process is not None
    children = psutil.Process(piece.process.pid).children()
    last = {each.cmdline()[-1] for each in children}
    return last & {"pixerve_site.wsgi:application", "cluster", "clerk"}


def test_each_runs_what_it_was_asked_for(split: Split) -> None:
    assert parts_of(split.web) == {"pixerve_site.wsgi:application"}
    assert parts_of(split.workers) == {"cluster", "clerk"}


def test_together_they_are_one_pixerve(split: Split) -> None:
    uid = post(split.web, another(SMALL, "split"), QUICK_JOB)
    wait_ended(split.web, [uid])
    check_ended_once_and_right(split.web, [uid])


def test_what_is_missing_is_made_once(split: Split) -> None:
    for name in ("secret_key", "credential_keys"):
        assert split.web.log.count(f"made {split.web.data / name}") == 1
    with closing(sqlite3.connect(split.web.data / "pixerve.sqlite3")) as database:
        [[admins]] = database.execute("SELECT count(*) FROM auth_user WHERE is_superuser")
        [[schedules]] = database.execute("SELECT count(*) FROM django_q_schedule")
    assert (admins, schedules) == (1, 1)


def test_an_unknown_part_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(CommandError, match=r"^webb is no part; there are web, cluster, clerk$"):
        call_command("serve", "webb")


def test_web_may_stop_and_start_while_the_others_work(split: Split) -> None:
    with held(split.web, "web stops") as uid:
        assert split.web.stop() == 0
        assert job_row(split.workers, uid)["state"] == "processing"
        assert not job_row(split.workers, uid)["excused"]
        split.web.start("web")
    wait_ended(split.web, [uid])
    check_ended_once_and_right(split.web, [uid])
