"""The child process from its parent's side: crashes, deadlines, recycling."""

import os
import signal
import time
from pathlib import Path
from typing import cast

import psutil
import pytest

from encoders.conversation import Conversation
from encoders.converter import Converter
from encoders.errors import PictureError
from encoders.limits import Limits
from encoders.look import Look
from encoders.plan import Plan, Rendition, Settings, Variant
from tests.encoders.inotify import opens_of
from tests.encoders.pictures import IMAGES, plan

PHOTO = IMAGES / "imn_large.jpg"
SMALL = IMAGES / "pil_hopper.jpg"
SLOW = Variant("slow.avif", "avif", settings=Settings(speed=0))
"""Takes many seconds at full HD."""


def works(converter: Converter, out_dir: Path) -> bool:
    return len(converter.convert(plan(SMALL, out_dir, "jpg")).renditions) == 1


def pid_of(converter: Converter) -> int:
    assert converter.pid is not None
    return converter.pid


def test_one_child_serves_many_jobs(converter: Converter, tmp_path: Path) -> None:
    assert converter.pid is None
    assert works(converter, tmp_path)
    first = pid_of(converter)
    assert works(converter, tmp_path)
    assert converter.pid == first


@pytest.mark.parametrize("names", [[], ["secret_key"], ["out.jpg", "secret_key"], ["out.jpg"] * 2])
def test_what_a_child_says_it_made_is_what_was_asked_for(
    converter: Converter, tmp_path: Path, names: list[str]
) -> None:
    asked = plan(SMALL, tmp_path, "jpg")
    told = converter.convert(asked).to_json()
    [made] = told["renditions"]
    unused = cast("Conversation", None)
    assert converter._settle(asked, {"outcome": told, "rss": 0}, unused).renditions
    told["renditions"] = [{**made, "name": name} for name in names]
    with pytest.raises(PictureError) as caught:
        converter._settle(asked, {"outcome": told, "rss": 0}, unused)
    assert caught.value.code == "decoder_crashed"


def test_close_leaves_nothing_behind(converter: Converter, tmp_path: Path) -> None:
    works(converter, tmp_path)
    child = psutil.Process(pid_of(converter))
    folder = Path(child.cwd())
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the folder itself is virtual
    converter.close()
    assert not child.is_running()
    assert not folder.exists()
    assert len(os.listdir("/proc/self/fd")) == descriptors - 3  # noqa: PTH208
    assert works(converter, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_crash_is_one_clear_error_and_the_next_job_works(
    number: signal.Signals, converter: Converter, tmp_path: Path
) -> None:
    def crash(_rendition: Rendition) -> None:
        os.kill(pid_of(converter), number)

    job = Plan(PHOTO, tmp_path, (Variant("a.jpg", "jpg"), SLOW))
    with pytest.raises(PictureError, match=number.name) as caught:
        converter.convert(job, on_rendition=crash)
    expected = "decoder_killed" if number == signal.SIGKILL else "decoder_crashed"
    assert (caught.value.code, caught.value.retryable) == (expected, True)
    assert works(converter, tmp_path)


def test_a_child_that_died_between_jobs_is_replaced_unseen(
    converter: Converter, tmp_path: Path
) -> None:
    works(converter, tmp_path)
    child = psutil.Process(pid_of(converter))
    child.kill()
    _until(lambda: child.status() == psutil.STATUS_ZOMBIE)
    assert works(converter, tmp_path)
    assert converter.pid != child.pid


def test_the_wall_clock_kills(converter: Converter, tmp_path: Path) -> None:
    works(converter, tmp_path)
    child = psutil.Process(pid_of(converter))
    started = time.monotonic()
    with pytest.raises(PictureError, match=r"longer than 0\.5 s") as caught:
        converter.convert(Plan(PHOTO, tmp_path, (SLOW,), Limits(timeout_s=0.5)))
    assert caught.value.code == "conversion_timeout"
    assert time.monotonic() - started < 5
    assert not child.is_running()
    assert works(converter, tmp_path)


def test_beats_come_while_the_child_works(converter: Converter, tmp_path: Path) -> None:
    beats: list[float] = []
    with pytest.raises(PictureError, match="longer than"):
        converter.convert(
            Plan(PHOTO, tmp_path, (SLOW,), Limits(timeout_s=1)),
            on_beat=lambda: beats.append(time.monotonic()),
            beat_s=0.1,
        )
    assert 4 <= len(beats) <= 10


def test_what_a_beat_raises_ends_the_child_and_comes_through(
    converter: Converter, tmp_path: Path
) -> None:
    seen: list[int] = []

    def lost() -> None:
        seen.append(pid_of(converter))
        raise KeyError("the lease")

    with pytest.raises(KeyError, match="the lease"):
        converter.convert(Plan(PHOTO, tmp_path, (SLOW,)), on_beat=lost, beat_s=0.3)
    assert not psutil.pid_exists(seen[0])
    assert converter.pid is None
    assert works(converter, tmp_path)


def test_renditions_are_told_one_by_one(converter: Converter, tmp_path: Path) -> None:
    told: list[Rendition] = []

    def check(rendition: Rendition) -> None:
        assert (tmp_path / rendition.name).stat().st_size == rendition.bytes
        told.append(rendition)

    outcome = converter.convert(plan(SMALL, tmp_path, "jpg", "webp"), on_rendition=check)
    assert sorted(told, key=lambda made: made.name) == list(outcome.renditions)


def test_a_decode_error_costs_the_child_its_place(converter: Converter, tmp_path: Path) -> None:
    works(converter, tmp_path)
    first = pid_of(converter)
    data = (IMAGES / "pil_hopper.png").read_bytes()
    (tmp_path / "source").write_bytes(data[:9000] + bytes(100) + data[9100:])
    with pytest.raises(PictureError) as caught:
        converter.convert(plan(tmp_path / "source", tmp_path, "jpg"))
    assert caught.value.code == "damaged_picture"
    assert converter.pid is None
    assert works(converter, tmp_path)
    assert converter.pid != first


def test_the_child_is_recycled_after_some_jobs(tmp_path: Path) -> None:
    converter = Converter(recycle_jobs=2)
    pids = []
    for _ in range(4):
        works(converter, tmp_path)
        pids.append(converter.pid)
    converter.close()
    assert pids[0] is not None
    assert pids[1] is pids[3] is None
    assert pids[2] not in (None, pids[0])


def test_the_child_is_recycled_when_it_has_grown(tmp_path: Path) -> None:
    converter = Converter(recycle_rss=1 << 20)
    works(converter, tmp_path)
    assert converter.pid is None


def test_a_bomb_is_refused_fast(converter: Converter, tmp_path: Path) -> None:
    works(converter, tmp_path)
    started = time.monotonic()
    with pytest.raises(PictureError) as caught:
        converter.convert(plan(IMAGES / "thu_16384x16384.png", tmp_path, "jpg"))
    assert caught.value.code == "too_many_pixels"
    assert time.monotonic() - started < 1
    assert psutil.Process(pid_of(converter)).memory_info().rss < 200 << 20


@pytest.mark.parametrize("formats", [("png",), ("jpg",)])
def test_too_little_memory_is_one_clear_error(
    formats: tuple[str, ...], converter: Converter, tmp_path: Path
) -> None:
    limits = Limits(max_pixels=1 << 30, memory_bytes=700 << 20)
    variants = tuple(Variant(f"a.{name}", name) for name in formats)
    source = IMAGES / "thu_16384x16384.png"
    with pytest.raises(PictureError) as caught:
        converter.convert(Plan(source, tmp_path, variants, limits))
    assert caught.value.code == "out_of_memory"
    assert works(converter, tmp_path)


def test_an_output_over_the_file_limit_is_refused(converter: Converter, tmp_path: Path) -> None:
    limits = Limits(file_bytes=10_000)
    for name in ("png", "webp", "jpg"):
        with pytest.raises(PictureError) as caught:
            converter.convert(Plan(PHOTO, tmp_path, (Variant("a", name),), limits))
        assert caught.value.code == "output_too_large"
        assert not list(tmp_path.iterdir())


def test_however_many_variants_the_source_is_opened_as_often(
    converter: Converter, tmp_path: Path
) -> None:
    source = tmp_path / "source.jpg"
    source.write_bytes(PHOTO.read_bytes())
    many = [
        Variant(f"{side}.{name}", name, Look((side, side)), Settings(speed=10))
        for side in (900, 500, 300, 100)
        for name in ("jpg", "webp", "png")
    ]
    with opens_of(source) as once:
        converter.convert(Plan(source, tmp_path, (many[0],)))
    with opens_of(source) as often:
        converter.convert(Plan(source, tmp_path, tuple(many)))
    assert once.count == often.count > 0


def _until(condition: object, deadline_s: float = 5.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it never came to pass"
