"""Backups of a server that works meanwhile."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.evidence import (
    QUICK_JOB,
    SMALL,
    another,
    check_ended_once_and_right,
    post,
    wait_ended,
)
from tests.server import ROOT, Pixerve

NOT_OURS = "warning: jwt.json is not in the data folder; keep that key yourself\n"
PACE_S = 0.1  # what is taken must be converted, too: here and after the restore


@contextmanager
def uploading(server: Pixerve) -> Iterator[list[str]]:
    """Uploads one after the other for the length of a `with`; grows by what was acknowledged."""
    taken: list[str] = []
    enough = threading.Event()

    def upload() -> None:
        while not enough.wait(PACE_S):
            taken.append(post(server, another(SMALL, f"meanwhile {len(taken)}"), QUICK_JOB))

    thread = threading.Thread(target=upload)
    thread.start()
    try:
        yield taken
    finally:
        enough.set()
        thread.join()


def check_goes_on(new: Pixerve, uids: list[str]) -> None:
    """Start what was restored: all these jobs end once and right there."""
    new.start()
    try:
        wait_ended(new, uids, within_s=90)
        check_ended_once_and_right(new, uids)
    finally:
        new.kill()


def backing_up(server: Pixerve, target: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "backup", str(target)],
        env=server.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
