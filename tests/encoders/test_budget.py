"""Memory shared by all converters of a machine: who waits, who is refused, what a death leaves."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from encoders.budget import LEAST_MB, UNIT_BYTES, Budget, default_budget_mb
from encoders.converter import Converter
from encoders.errors import PictureError
from encoders.limits import Limits
from encoders.plan import Plan, Variant
from tests.encoders.pictures import IMAGES, plan

SMALL = IMAGES / "pil_hopper.jpg"
HOLDER = """
import sys
from pathlib import Path
from encoders.budget import Budget

with Budget(Path(sys.argv[1]), int(sys.argv[2])).reserve(int(sys.argv[2]), lambda: None):
    print("held", flush=True)
    sys.stdin.read()
"""


class Full(Exception):
    """There was no room at the first look."""


def refuse() -> None:
    raise Full


@pytest.fixture
def budget(tmp_path: Path) -> Budget:
    return Budget(tmp_path / "memory", 4 * UNIT_BYTES)


def hold_all(budget: Budget) -> subprocess.Popen[bytes]:
    """Another process that has reserved everything."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(budget.path), str(budget.total_bytes)],
        cwd=IMAGES.parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_what_fits_is_let_in_at_once_and_given_back(budget: Budget) -> None:
    for _ in range(3):
        with (
            budget.reserve(UNIT_BYTES + 1, refuse),
            budget.reserve(2 * UNIT_BYTES, refuse),
            pytest.raises(Full),
            budget.reserve(1, refuse),
        ):
            pass
        with budget.reserve(4 * UNIT_BYTES, refuse):
            pass
    assert budget.path.stat().st_size == 0


def test_more_than_there_is_can_never_run(budget: Budget) -> None:
    with (
        pytest.raises(PictureError, match=r"about 257 MiB .* may use 256 MiB") as caught,
        budget.reserve(257 << 20, refuse),
    ):
        pass
    assert caught.value.code == "out_of_memory"


def test_a_large_job_is_not_overtaken_by_small_ones(budget: Budget) -> None:
    """It waits at the head of the line, and the small ones behind it."""
    waiting, done = threading.Event(), threading.Event()

    def large() -> None:
        with budget.reserve(4 * UNIT_BYTES, waiting.set):
            done.set()

    with budget.reserve(UNIT_BYTES, refuse):
        thread = threading.Thread(target=large)
        thread.start()
        assert waiting.wait(5)
        with pytest.raises(Full), budget.reserve(UNIT_BYTES, refuse):
            pass
    thread.join(5)
    assert done.is_set()
    with budget.reserve(UNIT_BYTES, refuse):
        pass


def test_who_gives_up_waiting_leaves_nothing_behind(budget: Budget) -> None:
    with budget.reserve(3 * UNIT_BYTES, refuse):
        with pytest.raises(Full), budget.reserve(2 * UNIT_BYTES, refuse):
            pass
        with budget.reserve(UNIT_BYTES, refuse):
            pass


def test_a_killed_holder_gives_back_what_it_held(budget: Budget) -> None:
    with hold_all(budget) as holder:
        with pytest.raises(Full), budget.reserve(1, refuse):
            pass
        holder.send_signal(signal.SIGKILL)
    with budget.reserve(4 * UNIT_BYTES, refuse):
        pass


def converting(budget: Budget) -> Converter:
    return Converter(budget=lambda: budget)


def test_a_job_beats_while_it_waits_and_its_time_does_not_run(
    budget: Budget, tmp_path: Path
) -> None:
    converter = converting(budget)
    beats: list[float] = []

    def beat() -> None:
        beats.append(time.monotonic())
        if len(beats) == 30:
            holder.kill()

    job = Plan(SMALL, tmp_path, (Variant("a.jpg", "jpg"),), Limits(timeout_s=2))
    with hold_all(budget) as holder:
        outcome = converter.convert(job, on_beat=beat, beat_s=0.1)
    assert len(outcome.renditions) == 1
    assert beats[29] - beats[0] > 2, "it waited for longer than it may convert"
    converter.close()


def test_a_waiting_job_can_be_stopped(budget: Budget, tmp_path: Path) -> None:
    converter = converting(budget)
    with hold_all(budget) as holder:
        with pytest.raises(Full):
            converter.convert(plan(SMALL, tmp_path, "jpg"), on_beat=refuse, beat_s=0.1)
        holder.kill()
    assert converter.pid is None
    assert converter.convert(plan(SMALL, tmp_path, "jpg")).renditions
    converter.close()


def test_a_picture_that_needs_more_than_all_fails_and_the_next_works(tmp_path: Path) -> None:
    converter = converting(Budget(tmp_path / "memory", 200 << 20))
    source = IMAGES / "thu_16384x16384.png"
    limits = Limits(max_pixels=1 << 30)
    with pytest.raises(PictureError, match="this server may use 200 MiB") as caught:
        converter.convert(Plan(source, tmp_path, (Variant("a.jpg", "jpg"),), limits))
    assert caught.value.code == "out_of_memory"
    assert converter.convert(plan(SMALL, tmp_path, "jpg")).renditions
    converter.close()


def test_the_default_is_a_share_of_what_there_is() -> None:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    assert LEAST_MB <= default_budget_mb() <= max(LEAST_MB, int(physical * 0.6))
