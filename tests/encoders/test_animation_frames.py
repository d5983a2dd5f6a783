"""Each frame of an animation comes through as browsers show it."""

import random
import struct
from pathlib import Path

import pytest
from PIL import Image

from encoders.animation import open_animation
from encoders.apng_frames import ApngFile
from encoders.converter import Converter
from encoders.gif_frames import GifFile
from encoders.picture import Frame, Picture
from encoders.probe import probe
from tests.encoders.encoding import encode, fading, same
from tests.encoders.moving import (
    BLUE,
    CLEAR,
    GREEN,
    OTHER,
    PALETTE,
    RED,
    SIZE,
    Cel,
    Fc,
    alike,
    apng,
    coalesced,
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
from tests.encoders.pictures import IMAGES, opened, plan
from tests.encoders.png import chunk, idat, ihdr, png


@pytest.mark.parametrize("made", ["webp", "gif"])
@pytest.mark.parametrize(
    "name", ["thu_animated.gif", "pil_dispose_bgnd.gif", "pil_dispose_op_background.png"]
)
def test_real_animations_keep_frames_and_times(
    name: str, made: str, shared: Converter, tmp_path: Path
) -> None:
    outcome = shared.convert(moving(IMAGES / name, tmp_path, made))
    source, path = IMAGES / name, tmp_path / f"out.{made}"
    expected = coalesced(source, "gif") if name.endswith("gif") else frames_of(source)
    assert outcome.warnings == ()
    assert outcome.header.frames == len(expected)
    assert sum(times_of(path)) == sum(times_of(source))
    seen = frames_of(path)
    if made == "webp":
        # libwebp joins frames that are the same.
        expected = [
            one
            for number, one in enumerate(expected)
            if not number or not same(one, expected[number - 1])
        ]
    assert alike(seen, expected)


@pytest.mark.parametrize("made", ["webp", "gif"])
@pytest.mark.parametrize("name", ["wbp_random_lossless.webp", "avf_colors-animated-8bpc.avif"])
def test_other_real_animations_stay_near(
    name: str, made: str, shared: Converter, tmp_path: Path
) -> None:
    shared.convert(moving(IMAGES / name, tmp_path, made))
    seen, expected = frames_of(tmp_path / f"out.{made}"), frames_of(IMAGES / name)
    assert len(expected) > 1
    most = 30 if (made, name[:3]) == ("gif", "wbp") else 3
    assert furthest(seen, expected) < most


@pytest.mark.parametrize("seed", range(60))
def test_gif_frames_are_those_of_imagemagick(seed: int, tmp_path: Path) -> None:
    """Offsets, palettes, transparency and disposal of every kind, after a whole first frame."""
    dice = random.Random(seed)  # noqa: S311 - the same pictures each time
    cels = [_random_cel(dice, first=not number) for number in range(dice.randrange(2, 7))]
    path = saved(tmp_path, gif(SIZE, cels, shared=bytes(PALETTE)))
    mine = [image for image, _ in GifFile(path.read_bytes(), SIZE).images()]
    theirs = coalesced(path, "gif")
    assert len(mine) == len(cels)
    assert alike(mine, theirs)


def _random_cel(dice: random.Random, *, first: bool) -> Cel:
    width, height = SIZE if first else (dice.randrange(1, 9), dice.randrange(1, 8))
    numbers = bytes(dice.randrange(4) for _ in range(width * height))
    local = dice.random() < 0.5
    image = indexed((width, height), numbers, dice.choice([PALETTE, OTHER]) if local else PALETTE)
    place = dice.randrange(9 - width), dice.randrange(8 - height)
    disposal = dice.randrange(3 if first else 4)
    return Cel(image, place, disposal, 10, dice.choice([None, 0, 1, 2]), local)


@pytest.mark.parametrize("seed", range(25))
def test_a_gif_survives_being_read_and_written(seed: int, tmp_path: Path) -> None:
    """Any frames at all: what is drawn is only the difference, and yet all is there."""
    dice = random.Random(seed)  # noqa: S311 - the same pictures each time
    images = []
    for _ in range(dice.randrange(2, 8)):
        image = images[-1].copy() if images else Image.new("RGBA", SIZE)
        for _ in range(dice.randrange(4)):
            left, top = dice.randrange(8), dice.randrange(7)
            color = dice.choice([CLEAR, (*RED, 255), (*BLUE, 255), (1, 2, 3, 255)])
            image.paste(color, (left, top, min(8, left + 4), min(7, top + 3)))
        images.append(image)
    source = saved(tmp_path, apng(SIZE, [Fc(image) for image in images]))
    path = tmp_path / "out.gif"
    frames = tuple(open_animation(source, probe(source)).frames)
    encode("gif", tmp_path, Picture(frames)).rename(path)
    for seen in (frames_of(path), coalesced(path, "gif")):
        assert alike(seen, images)


def test_a_first_frame_beside_transparency_is_placed_as_browsers_do(tmp_path: Path) -> None:
    cels = [
        Cel(indexed((2, 2), 0, PALETTE), (1, 1), disposal=3),
        Cel(indexed((2, 2), 1, PALETTE), (4, 4), disposal=2),
        Cel(indexed((1, 1), 2, PALETTE), (0, 0)),
    ]
    seen = [image.getbbox() for image, _ in GifFile(gif(SIZE, cels), SIZE).images()]
    assert seen == [(1, 1, 3, 3), (4, 4, 6, 6), (0, 0, 1, 1)]


def test_a_colour_that_was_hidden_is_drawn_when_it_appears(tmp_path: Path) -> None:
    hidden, shown = painted((*RED, 0), (*RED, 255))
    path = encode("gif", tmp_path, Picture((Frame(hidden, 50), Frame(shown, 50))))
    assert alike(frames_of(path), [hidden, shown])


def test_interlaced_gif_frames(tmp_path: Path) -> None:
    rows = bytes(row % 4 for row in range(20) for _ in range(8))
    image = indexed((8, 20), rows, PALETTE)
    image.save(tmp_path / "still", "GIF", interlace=1)
    still = (tmp_path / "still").read_bytes()
    start = still.index(b"\x2c\0\0\0\0\x08")
    flags = still[start + 9] | 0x80 | still[10] & 7
    table = still[13 : 13 + (3 << (still[10] & 7) + 1)]
    block = still[start : start + 9] + bytes([flags]) + table + still[start + 10 : -1]
    data = still[:13] + table + block * 2 + b";"
    for seen, _ in GifFile(data, (8, 20)).images():
        assert same(seen, image)


def test_a_gif_without_any_palette_is_gray() -> None:
    image = indexed((4, 4), 200, PALETTE * 60)
    data = gif((4, 4), [Cel(image, local=False)] * 2)
    assert [seen.getpixel((1, 1)) for seen, _ in GifFile(data, (4, 4)).images()] == [
        (200, 200, 200, 255)
    ] * 2


def test_apng_blends_and_disposes(shared: Converter, tmp_path: Path) -> None:
    half_red = Image.new("RGBA", SIZE, (255, 0, 0, 128))
    half_blue = Image.new("RGBA", (4, 4), (0, 0, 255, 128))
    blended = half_red.copy()
    blended.alpha_composite(half_blue, (2, 2))
    replaced = half_red.copy()
    replaced.paste(half_blue, (2, 2))
    hole = half_red.copy()
    hole.paste(CLEAR, (2, 2, 6, 6))
    frames = [
        Fc(half_red),
        Fc(half_blue, (2, 2), disposal=2, blend=1),
        Fc(half_blue, (2, 2), disposal=1, blend=0),
        Fc(Image.new("RGBA", (1, 1)), (0, 0), blend=1),
    ]
    source = saved(tmp_path, apng(SIZE, frames))
    shared.convert(moving(source, tmp_path, "webp"))
    seen = [frame.convert("RGBa") for frame in frames_of(tmp_path / "out.webp")]
    expected = [image.convert("RGBa") for image in (half_red, blended, replaced, hole)]
    assert furthest(seen, expected) < 1


def test_a_still_inside_an_apng_is_no_frame(shared: Converter, tmp_path: Path) -> None:
    red, green, blue = painted((*RED, 255), (*GREEN, 255), (*BLUE, 255))
    source = saved(tmp_path, apng(red.size, [Fc(green), Fc(blue)], still=red))
    shared.convert(plan(source, tmp_path, "png"))
    assert same(opened(tmp_path / "out.png"), red)
    shared.convert(moving(source, tmp_path, "webp", "gif", "png"))
    assert same(opened(tmp_path / "out.png"), green)
    for made in ("webp", "gif"):
        seen = frames_of(tmp_path / f"out.{made}")
        assert [frame.getpixel((0, 0))[:3] for frame in seen] == [GREEN, BLUE]


@pytest.mark.parametrize("made", ["webp", "gif"])
def test_transparency_that_comes_later(made: str, shared: Converter, tmp_path: Path) -> None:
    images = [
        Image.new("RGBA", (40, 20), (*RED, 255)),
        *flags(),
        painted((*BLUE, 255))[0].resize((40, 20)),
    ]
    shared.convert(moving(webp(tmp_path, images, duration=50), tmp_path, made))
    assert alike(frames_of(tmp_path / f"out.{made}"), images)


def test_fading_frames_in_a_gif_have_hard_edges(tmp_path: Path) -> None:
    picture = Picture((Frame(fading(), 50), Frame(fading().rotate(180), 50)))
    for frame in frames_of(encode("gif", tmp_path, picture)):
        assert {value for _, value in frame.getchannel("A").getcolors() or []} == {0, 255}


def test_sixteen_bits_of_gray(shared: Converter, tmp_path: Path) -> None:
    """Pillow alone would clip them to white."""
    rows = b"".join(b"\0" + struct.pack(">3H", 0, 20_000, 65_535) for _ in range(2))
    actl = chunk(b"acTL", struct.pack(">II", 1, 0))
    fctl = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 3, 2, 0, 0, 1, 10, 0, 0))
    data = png(ihdr(3, 2, 16), actl, fctl, idat(rows))
    ((image, _),) = ApngFile(data).images()
    assert [image.getpixel((x, 1)) for x in range(3)] == [
        (0, 0, 0, 255),
        (78, 78, 78, 255),
        (255, 255, 255, 255),
    ]
