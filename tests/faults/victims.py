"""Who is struck: processes found from outside, and what is done to them."""

import random
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from tests.acceptance.evidence import Cast, cast, converter, holder, rows
from tests.faults.plan import Cell
from tests.faults.stack import WORKERS, Stack
from tests.faults.stages import Wants
from tests.server import Pixerve, wait_for

Found = list[psutil.Process]
LONGEST_STOP_S = 8.0


def wants(victim: str) -> Wants:
    return Wants(busy=victim in {"child", "busy worker"}, idle=victim == "idle worker")


def find(stack: Stack, victim: str, uid: str | None) -> Found:
    """The victim's processes, its first one first. `uid` is a job that a worker holds."""
    found = cast(stack.server, workers=WORKERS)
    return _FIND[victim](stack.server, found, uid)


def _child(server: Pixerve, found: Cast, uid: str | None) -> Found:
    assert uid is not None
    process = converter(holder(server, uid))
    assert process is not None
    return [process]


def _busy_worker(server: Pixerve, found: Cast, uid: str | None) -> Found:
    """Who holds the job, with or without a child at work: it may be delivering. Where that took so
    long that the clerk has it now, one worker is as good as another."""
    assert uid is not None
    query = "SELECT owner FROM jobs_job WHERE uid = ? AND (owner <> '' OR stage = 'delivering')"
    [[owner]] = wait_for(lambda: rows(server, query, uid), what=f"a worker on {uid}")
    return [psutil.Process(int(owner.split("/")[1]))] if owner else found.workers[:1]


def _idle_worker(server: Pixerve, found: Cast, uid: str | None) -> Found:
    owners = rows(server, "SELECT owner FROM jobs_job WHERE state = 'processing' AND owner <> ''")
    busy = {int(row["owner"].split("/")[1]) for row in owners}
    idle = [each for each in found.workers if each.pid not in busy]
    assert idle, "no worker is idle"
    return idle[:1]


def _whole_cluster(server: Pixerve, found: Cast, uid: str | None) -> Found:
    return [found.cluster, *found.cluster.children(recursive=True)]


def _everything(server: Pixerve, found: Cast, uid: str | None) -> Found:
    return list(server.processes().values())


_FIND: dict[str, Callable[[Pixerve, Cast, str | None], Found]] = {
    "child": _child,
    "busy worker": _busy_worker,
    "idle worker": _idle_worker,
    "monitor": lambda server, found, uid: [found.monitor],
    "pusher": lambda server, found, uid: [found.pusher],
    "sentinel": lambda server, found, uid: [found.sentinel],
    "cluster": lambda server, found, uid: [found.cluster],
    "whole cluster": _whole_cluster,
    "clerk": lambda server, found, uid: [found.clerk],
    "web": lambda server, found, uid: [found.web, *found.web.children()],
    "everything": _everything,
}


def strike(stack: Stack, cell: Cell, found: Found, moments: random.Random) -> float:
    """Do it; when it was done, in monotonic seconds. A stop is over when they go on."""
    if cell.how == "stopped":
        return _stop(found, moments)
    struck = time.monotonic()
    if cell.victim == "everything":
        stack.server.kill()
        stack.server.launch()
        return struck
    for process in found:
        with suppress(psutil.NoSuchProcess):  # the first one's death may have ended it
            process.kill()
    return struck


def _stop(found: Found, moments: random.Random) -> float:
    for process in found:
        process.suspend()
    time.sleep(moments.uniform(1.0, LONGEST_STOP_S))
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.resume()
    return time.monotonic()
