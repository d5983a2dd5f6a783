"""Databases, storages, disks and clocks fail under load; clients come all at once."""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.evidence import SMALL, another, cast
from tests.faults import invariants, stages, surroundings, table
from tests.faults.plan import Cell
from tests.faults.stack import WORKERS, Stack
from tests.faults.stages import Wants
from tests.faults.surroundings import Clock
from tests.faults.work import QUICK, Work

pytestmark = pytest.mark.faults

UPLOADS = 20
CROWD = 50
STORM = 30
# To which offset, how long everything is held meanwhile (the clerk looks every 15 s for what nobody
# needs), and what that is.
JUMPS = ((600, 16.0, "the clock jumps +10 min"), (0, 2.0, "the clock jumps -10 min"))


@pytest.fixture
def work(stack: Stack, request: pytest.FixtureRequest) -> Work:
    return _work(stack, request.node.originalname)


def _work(stack: Stack, name: str) -> Work:
    row = name.removeprefix("test_").replace("_", " ")
    return Work(stack, row, Cell(row, "load").moments(stack.name))


shared_only = pytest.mark.parametrize("stack", ["shared"], indirect=True, scope="session")


@shared_only
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_postgres_restarts(work: Work, how: str, record_property: table.Record) -> None:
    postgres = work.stack.postgres
    assert postgres is not None
    with work.load(UPLOADS):
        work.pause(1.0)
        getattr(postgres, how)()
        work.pause(3.0)
        postgres.start()
        back = time.monotonic()
    invariants.check(work, record_property, back, refuses=True)


@shared_only
def test_redis_is_killed(work: Work, record_property: table.Record) -> None:
    redis = work.stack.redis
    assert redis is not None
    with work.load(UPLOADS):
        work.pause(1.0)
        redis.kill()
        killed = time.monotonic()
    work.quick()
    redis.start()
    invariants.check(work, record_property, killed)


@shared_only
def test_redis_forgets_everything(work: Work, record_property: table.Record) -> None:
    assert work.stack.redis is not None
    with work.load(UPLOADS), work.stack.redis.client() as client:
        work.pause(1.0)
        client.flushall()
        flushed = time.monotonic()
    invariants.check(work, record_property, flushed)


@shared_only
def test_staging_is_away(work: Work, record_property: table.Record) -> None:
    assert work.stack.staging_wire is not None
    with work.load(UPLOADS):
        work.pause(1.0)
        with work.stack.staging_wire.away():
            work.pause(6.0)
        back = time.monotonic()
    invariants.check(work, record_property, back, refuses=True)


def test_the_storage_is_away(work: Work, record_property: table.Record) -> None:
    with work.load(UPLOADS):
        work.pause(1.0)
        with work.stack.wire.away():
            work.pause(6.0)
        back = time.monotonic()
    invariants.check(work, record_property, back)


def test_one_picture_fifty_times(work: Work, record_property: table.Record) -> None:
    picture = another(SMALL, work.name)
    pusher = cast(work.stack.server, workers=WORKERS).pusher
    # So that the first is not over before the last comes.
    with stages.stopped(pusher), ThreadPoolExecutor(CROWD) as pool:
        found = list(pool.map(lambda _: work.upload(picture, QUICK), range(CROWD)))
    begun = time.monotonic()
    assert sum(map(bool, found)) == len(work.taken) == 1
    assert {(each.status, each.json()["code"]) for each in work.refused} == {
        (409, "duplicate_in_flight")
    }
    work.refused.clear()
    invariants.check(work, record_property, begun)


def test_cancel_storm(work: Work, record_property: table.Record) -> None:
    """Each cancel is heard or it is too late, while a cluster dies among them."""
    work.ends = {"completed", "cancelled"}
    events = ["job.completed", "job.failed", "job.cancelled"]
    for _ in range(STORM):
        work.upload(another(SMALL, uuid.uuid4().hex), {**QUICK, "callbackEvents": events})
    jobs = list(work.taken.values())
    server = work.stack.server

    def cancel(reference: str) -> int:
        return server.request("DELETE", f"/cancel?hash={reference}", token=work.token).status

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(cancel, job["hash"]) for job in reversed(jobs) for _ in range(3)]
        cluster = cast(server, workers=WORKERS).cluster
        work.pause(0.3)
        cluster.kill()
        killed = time.monotonic()
        found = [each.result(60) for each in answers]
    invariants.check(work, record_property, killed, gone=[cluster])
    assert set(found) <= {200, 409}
    heard = [job["hash"] for job, each in zip(reversed(jobs), _by(3, found), strict=True) if each]
    for reference in heard:
        assert server.status(reference, work.token)["state"] == "cancelled"


def _by(size: int, answers: list[int]) -> Iterator[bool]:
    """For each group of that size, whether anybody was told that it was cancelled."""
    for start in range(0, len(answers), size):
        yield 200 in answers[start : start + size]


def test_a_full_disk(stack: Stack, tmp_path: Path, record_property: table.Record) -> None:
    if reason := surroundings.no_mounts():
        pytest.skip(reason)
    disk = tmp_path / "server"
    with ExitStack() as open_:
        open_.enter_context(surroundings.small_disk(disk, 64))
        own = open_.enter_context(stack.another(tmp_path))
        work = _work(own, "a full disk")
        with work.load(UPLOADS):
            work.pause(1.0)
            with surroundings.full(disk):
                work.pause(4.0)
            room = time.monotonic()
        invariants.check(work, record_property, room, refuses=True)


@pytest.mark.timeout(400)
def test_the_clock_jumps(stack: Stack, tmp_path: Path, record_property: table.Record) -> None:
    """By ten minutes, there and back, while something is at every stage."""
    if surroundings.faketime() is None:
        pytest.skip("faketime is not installed")
    clock = Clock(tmp_path / "clock")
    with stack.another(tmp_path, **clock.settings) as own:
        for offset_s, hold_s, name in JUMPS:
            work = _work(own, name)
            own.receiver.statuses[:] = [500, 200]
            with work.load(UPLOADS // 2):
                with stages.delivering(work, Wants()), stages.staged(work, Wants()):
                    clock.set(offset_s)
                    time.sleep(hold_s)
                released = time.monotonic()
            # The library makes every process wait now and then, web for up to two seconds.
            limit = invariants.RESTART_S
            invariants.check(work, record_property, released, silent_s=limit)
