"""The stages of an upload, each reached from outside and kept for the length of a `with`.

Each gives the job that a worker surely holds, or None. Nothing in Pixerve knows of them: they lock
its database, hold back its storage, its receiver or its clerk, and look at files and rows.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

import psutil

from tests.acceptance.evidence import SMALL, another, cast
from tests.faults.stack import WORKERS
from tests.faults.work import QUICK, Work
from tests.server import wait_for


@dataclass(frozen=True)
class Wants:
    """What a victim needs to be what it is: a worker at work, or one that has nothing to do."""

    busy: bool = False
    idle: bool = False


Stage = Callable[[Work, Wants], AbstractContextManager[str | None]]


def _company(work: Work, wants: Wants) -> None:
    """Others that wait or run beside it; a worker is idle only where nothing waits."""
    if not wants.idle:
        work.quick()
        work.quick(stored=True)


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """It does nothing for the length of a `with`."""
    process.suspend()
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            process.resume()


@contextmanager
def staged(work: Work, wants: Wants) -> Iterator[str | None]:
    """The bytes are safe, the row is not written: the database takes none."""
    uid = work.busy() if wants.busy else None
    stack, before = work.stack, work.stack.sources()
    picture = another(SMALL, work.name)
    with ThreadPoolExecutor(1) as pool:
        with stack.locked():
            answer = pool.submit(work.upload, picture, QUICK)
            wait_for(lambda: stack.sources() - before, within_s=60, what="a staged upload")
            work.pause(0.5)
            yield uid
        answer.result(60)


@contextmanager
def waiting(work: Work, wants: Wants) -> Iterator[str | None]:
    """Behind busy workers; before idle ones that hear of nothing."""
    if wants.idle:
        with stopped(cast(work.stack.server, workers=WORKERS).pusher):
            for _ in range(3):
                work.quick()
            work.pause(0.5)
            yield None
        return
    uid, _ = work.busy(), work.busy()
    for number in range(3):
        work.quick(stored=number == 0)
    work.pause(0.5)
    yield uid


@contextmanager
def decoding(work: Work, wants: Wants) -> Iterator[str | None]:
    """A worker has it, and nothing of it is written yet."""
    uid = work.wide()
    work.holder(uid)
    _company(work, wants)
    work.pause(0.8)
    yield uid


@contextmanager
def encoding(work: Work, wants: Wants) -> Iterator[str | None]:
    """A first rendition is being written."""
    uid = work.slow(stored=True)
    work.holder(uid)
    staging = work.stack.server.data / "staging"
    wait_for(lambda: [*staging.rglob("*.part")], what="a rendition in the making")
    _company(work, wants)
    work.pause(1.5)
    yield uid


@contextmanager
def delivering(work: Work, wants: Wants) -> Iterator[str | None]:
    """The storage takes some bytes and no more."""
    wire = work.stack.wire
    wire.hold_after(work.moments.choice([0, 2_000, 100_000, 6_000_000]))
    try:
        uid = work.large()
        wait_for(wire.holds.is_set, within_s=60, what="a delivery")
        _company(work, wants)
        work.pause(0.5)
        yield uid
    finally:
        wire.release()


@contextmanager
def committed(work: Work, wants: Wants) -> Iterator[str | None]:
    """The outcome is written, and the clerk, who would tell it, stands still."""
    with stopped(cast(work.stack.server, workers=WORKERS).clerk):
        work.quick()
        [taken] = work.taken.values()
        ended = work.stack.server.wait_end(taken["hash"], work.token)
        assert ended["state"] == "completed", ended
        uid = work.busy() if wants.busy else None
        work.pause(0.5)
        yield uid


@contextmanager
def unmarked(work: Work, wants: Wants) -> Iterator[str | None]:
    """The receiver has the callback, and has not answered."""
    receiver = work.stack.receiver
    receiver.gate.clear()
    try:
        work.quick()
        [taken] = work.taken.values()
        wait_for(
            lambda: any(call.json()["hash"] == taken["hash"] for call in list(receiver.calls)),
            what="a callback",
        )
        uid = work.busy() if wants.busy else None
        work.pause(0.5)
        yield uid
    finally:
        receiver.gate.set()


STAGES: dict[str, Stage] = {
    stage.__name__: stage
    for stage in (staged, waiting, decoding, encoding, delivering, committed, unmarked)
}
