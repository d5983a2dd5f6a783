"""Looks, times and loops of animations."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from encoders.converter import Converter
from encoders.look import Look
from encoders.picture import Frame, Picture
from tests.encoders.encoding import encode, photo, same
from tests.encoders.moving import (
    BLUE,
    PALETTE,
    RED,
    SIZE,
    Cel,
    Fc,
    alike,
    apng,
    flags,
    frames_of,
    furthest,
    gif,
    indexed,
    moving,
    painted,
    saved,
    times_of,
    webp,
)
from tests.encoders.pictures import difference, opened


@pytest.mark.parametrize("made", ["webp", "gif"])
@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (Look((20, 20)), lambda image: image.resize((20, 10), Image.Resampling.LANCZOS)),
        (Look(rotate=90), lambda image: image.transpose(Image.Transpose.ROTATE_270)),
        (Look(flip="horizontal"), lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        (Look((20, 20), fit="cover"), lambda image: image.crop((10, 0, 30, 20))),
    ],
    ids=["size", "rotate", "flip", "cover"],
)
def test_every_frame_gets_the_look(
    look: Look,
    expected: Callable[[Image.Image], Image.Image],
    made: str,
    shared: Converter,
    tmp_path: Path,
) -> None:
    images = flags()
    source = webp(tmp_path, images, duration=70)
    shared.convert(moving(source, tmp_path, made, look=look))
    seen = [frame.convert("RGBa") for frame in frames_of(tmp_path / f"out.{made}")]
    assert furthest(seen, [expected(image).convert("RGBa") for image in images]) < 12


def test_an_animated_webp_is_turned_upright(shared: Converter, tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    source = webp(tmp_path, flags(), duration=70, exif=tags.tobytes())
    outcome = shared.convert(moving(source, tmp_path, "webp", "png"))
    assert {(made.width, made.height) for made in outcome.renditions} == {(20, 40)}
    seen = frames_of(tmp_path / "out.webp")
    assert alike(seen, [image.transpose(Image.Transpose.ROTATE_270) for image in flags()])
    assert same(opened(tmp_path / "out.png", "RGBA"), seen[0])


def test_a_photo_that_moves_as_gif(tmp_path: Path) -> None:
    still = photo()
    images = [ImageChops.offset(still, 5 * number, 0) for number in range(4)]
    path = encode("gif", tmp_path, Picture(tuple(Frame(image, 40) for image in images)))
    for one, other in zip(frames_of(path), images, strict=True):
        assert difference(one.convert("RGB").reduce(4), other.reduce(4)) < 2


def test_what_stands_still_is_stored_once(tmp_path: Path) -> None:
    dot = photo()
    dot.paste(RED, (10, 10, 20, 20))
    one = encode("gif", tmp_path, photo()).stat().st_size
    many = Picture(tuple(Frame(image, 40) for image in [photo(), dot] * 10))
    assert encode("gif", tmp_path, many).stat().st_size < one * 1.5


def test_times_as_browsers_show_them(shared: Converter, tmp_path: Path) -> None:
    numbers = [0, 1, 2, 7, 65_535]
    cels = [Cel(indexed(SIZE, at % 4, PALETTE), ticks=ticks) for at, ticks in enumerate(numbers)]
    source = saved(tmp_path, gif(SIZE, cels))
    shared.convert(moving(source, tmp_path, "webp", "gif"))
    expected = [100, 100, 20, 70, 655_350]
    assert times_of(tmp_path / "out.webp") == expected
    assert times_of(tmp_path / "out.gif") == expected


def test_centiseconds_do_not_drift(shared: Converter, tmp_path: Path) -> None:
    images = painted(*[(number, 0, 0, 255) for number in range(0, 240, 8)])
    shared.convert(moving(webp(tmp_path, images, duration=33), tmp_path, "gif", "webp"))
    assert times_of(tmp_path / "out.webp") == [33] * 30
    times = times_of(tmp_path / "out.gif")
    assert set(times) == {30, 40}
    assert sum(times) == 990


def test_times_too_short_or_too_long_for_the_format(shared: Converter, tmp_path: Path) -> None:
    delays = [(15, 1000), (15, 1000), (60_000, 1), (1, 0)]
    images = painted(*[(60 * number, 0, 0, 255) for number in range(4)])
    frames = [Fc(image, delay=delay) for image, delay in zip(images, delays, strict=True)]
    source = saved(tmp_path, apng(images[0].size, frames))
    shared.convert(moving(source, tmp_path, "webp", "gif"))
    assert times_of(tmp_path / "out.webp") == [15, 15, (1 << 24) - 1, 100]
    assert times_of(tmp_path / "out.gif")[:3] == [20, 20, 655_350]


@pytest.mark.parametrize(("repeats", "runs"), [(None, 1), (0, 0), (1, 2), (7, 8), (65_535, 65_536)])
def test_loops_of_a_gif(repeats: int | None, runs: int, shared: Converter, tmp_path: Path) -> None:
    cels = [Cel(indexed(SIZE, number, PALETTE)) for number in range(3)]
    source = saved(tmp_path, gif(SIZE, cels, repeats))
    shared.convert(moving(source, tmp_path, "webp", "gif"))
    with Image.open(tmp_path / "out.webp") as image:
        assert image.info["loop"] == min(runs, 65_535)
    with Image.open(tmp_path / "out.gif") as image:
        assert image.info.get("loop") == repeats


@pytest.mark.parametrize("plays", [0, 1, 5])
def test_loops_of_an_apng(plays: int, shared: Converter, tmp_path: Path) -> None:
    frames = [Fc(image) for image in painted((*RED, 255), (*BLUE, 255))]
    source = saved(tmp_path, apng((24, 16), frames, plays=plays))
    shared.convert(moving(source, tmp_path, "webp"))
    with Image.open(tmp_path / "out.webp") as image:
        assert image.info["loop"] == plays
