"""Turned, trimmed, softened, grey: by looking at pixels."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageStat

from encoders.look import Look
from tests.encoders.pictures import IMAGES, difference, opened
from tests.encoders.studio import GREEN, RED, Studio, corners
from tests.encoders.test_orientation import TURNED

PEOPLE = IMAGES / "wil_people.jpg"
TURNS = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180}
TURNS |= {270: Image.Transpose.ROTATE_90}
FLIPS = {
    "horizontal": Image.Transpose.FLIP_LEFT_RIGHT,
    "vertical": Image.Transpose.FLIP_TOP_BOTTOM,
    "both": Image.Transpose.ROTATE_180,
}


def framed(border: tuple[int, ...] = (250, 250, 250), mode: str = "RGB") -> Image.Image:
    """100 x 80 with 30 x 20 of content at 40, 10."""
    picture = Image.new(mode, (100, 80), border)
    picture.paste(corners((30, 20)), (40, 10))
    return picture


def energy(image: Image.Image) -> float:
    """Mean square of the difference to the pixel on the left."""
    gray = image.convert("L")
    moved = ImageChops.offset(gray, 1, 0)
    edges = ImageChops.difference(gray, moved).crop((1, 0, gray.width, gray.height))
    return ImageStat.Stat(edges).rms[0] ** 2


# --- rotate and flip


@pytest.mark.parametrize("degrees", TURNS)
def test_rotate_is_clockwise(degrees: int, studio: Studio) -> None:
    [made] = studio.make(corners(), Look(rotate=degrees))
    assert made == corners().transpose(TURNS[degrees])


def test_the_corners_after_a_quarter_turn_by_hand(studio: Studio) -> None:
    [made] = studio.make(corners(), Look(rotate=90))
    assert made.size == (48, 96)
    # What was top left is top right.
    assert (made.getpixel((47, 0)), made.getpixel((47, 95))) == (RED, GREEN)


@pytest.mark.parametrize("way", FLIPS)
def test_flip(way: Any, studio: Studio) -> None:
    [made] = studio.make(corners(), Look(flip=way))
    assert made == corners().transpose(FLIPS[way])


def test_the_turn_comes_before_the_flip(studio: Studio) -> None:
    [made] = studio.make(corners(), Look(rotate=90, flip="horizontal"))
    assert made == corners().transpose(TURNS[90]).transpose(FLIPS["horizontal"])


@pytest.mark.parametrize("orientation", TURNED)
def test_the_upright_picture_is_turned(orientation: int, studio: Studio) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = corners().transpose(TURNED[orientation])
    turned, flipped, boxed = studio.make(
        stored,
        Look(rotate=90),
        Look(flip="vertical"),
        Look((24, 24), rotate=270),
        kind="JPEG",
        quality=95,
        subsampling=0,
        exif=exif,
    )
    assert difference(turned, corners().transpose(TURNS[90])) < 2
    assert difference(flipped, corners().transpose(FLIPS["vertical"])) < 2
    assert boxed.size == (12, 24)


# --- trim


def test_trim_leaves_what_is_no_border(studio: Studio) -> None:
    [made] = studio.make(framed(), Look(trim=10))
    assert made == corners((30, 20))
    assert studio.warnings == []


@pytest.mark.parametrize(("tolerance", "trimmed"), [(0, False), (7, False), (8, True), (255, None)])
def test_the_tolerance_is_exact(tolerance: int, trimmed: bool | None, studio: Studio) -> None:
    """A border whose blue is 8 off in one pixel at the far corner."""
    picture = framed()
    picture.putpixel((99, 79), (250, 250, 242))
    [made] = studio.make(picture, Look(trim=tolerance))
    if trimmed is None:
        assert made == picture
        assert studio.warnings == ["nothing_to_trim"]
    else:
        assert made.size == ((30, 20) if trimmed else (60, 70))


def test_transparency_is_border_whatever_colour_is_under_it(studio: Studio) -> None:
    picture = framed((0, 0, 0, 0), "RGBA")
    ImageDraw.Draw(picture).rectangle((80, 60, 90, 70), fill=(255, 10, 10, 0))
    [made] = studio.make(picture, Look(trim=0))
    assert made.convert("RGB") == corners((30, 20))
    assert made.mode == "RGB" or made.getchannel("A").getextrema() == (255, 255)


def test_opacity_alone_is_content(studio: Studio) -> None:
    picture = Image.new("RGBA", (50, 40), (0, 0, 0, 0))
    picture.paste((0, 0, 0, 100), (10, 20, 15, 30))
    [made] = studio.make(picture, Look(trim=10))
    assert made.size == (5, 10)


def test_a_picture_of_one_colour_stays_with_a_warning(studio: Studio) -> None:
    [made] = studio.make(Image.new("RGB", (50, 40), RED), Look(trim=10))
    assert made.size == (50, 40)
    assert studio.warnings == ["nothing_to_trim"]


def test_trim_comes_before_the_box_and_after_the_turn(studio: Studio) -> None:
    boxed, turned, whole = studio.make(
        framed(), Look((15, 15), trim=10), Look(trim=10, rotate=90), Look((50, 50))
    )
    assert boxed.size == (15, 10)
    assert turned == corners((30, 20)).transpose(TURNS[90])
    assert whole.size == (50, 40)


@pytest.mark.parametrize("orientation", [3, 6])
def test_trim_of_a_large_jpeg_that_was_held_otherwise(orientation: int, studio: Studio) -> None:
    picture = framed().resize((1600, 1280), Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = picture.transpose(TURNED[orientation])
    options = {"quality": 95, "subsampling": 0, "exif": exif}
    [made] = studio.make(stored, Look((60, 60), trim=30), kind="JPEG", **options)
    assert made.size == (60, 40)
    assert difference(made, corners((60, 40))) < 4


def test_the_first_frame_decides_where_all_are_trimmed() -> None:
    from encoders.library import load_decoders

    load_decoders()
    from encoders.looks import Looks

    look = Look(trim=10)
    looks = Looks([look], None, framed().size)
    assert dict(looks.of(framed()))[look].size == (30, 20)
    assert dict(looks.of(Image.new("RGB", framed().size, RED)))[look].size == (30, 20)
    assert looks.notices == ()


# --- blur, sharpen, grey


@pytest.mark.parametrize(
    ("sharper", "softer"),
    [
        (Look((400, 400), sharpen=1), Look((400, 400))),
        (Look((400, 400), sharpen=3), Look((400, 400), sharpen=0.5)),
        (Look((400, 400)), Look((400, 400), blur=0.5)),
        (Look((400, 400), blur=1), Look((400, 400), blur=4)),
    ],
)
def test_energy_of_edges(sharper: Look, softer: Look, studio: Studio) -> None:
    one, other = studio.make(PEOPLE, sharper, softer)
    assert energy(one) > 1.1 * energy(other)


def test_blur_is_a_gaussian(studio: Studio) -> None:
    """A step becomes an error function: at a distance of sigma it has gone 84 % of its way."""
    step = Image.new("RGB", (100, 20), "black")
    step.paste("white", (50, 0, 100, 20))
    [made] = studio.make(step, Look(blur=5))
    row = [made.getpixel((x, 10))[0] for x in range(100)]
    assert row[20:26] == [0] * 6
    assert row[55] / 255 == pytest.approx(0.86, abs=0.02)  # the middle of pixel 55 is 5.5 away
    assert row[44] / 255 == pytest.approx(0.14, abs=0.02)


@pytest.mark.parametrize("look", [Look(blur=4), Look(sharpen=4), Look(blur=2, sharpen=2)])
def test_hidden_colours_do_not_bleed(look: Look, studio: Studio) -> None:
    """Green under full transparency, beside red: whatever is seen must stay red."""
    picture = Image.new("RGBA", (60, 60), (*GREEN, 0))
    picture.paste((*RED, 255), (20, 20, 40, 40))
    picture.paste((*RED, 128), (25, 40, 35, 45))
    [made] = studio.make(picture, look)
    raw = made.tobytes()
    seen = [raw[at : at + 4] for at in range(0, len(raw), 4) if raw[at + 3] > 32]
    assert len(seen) >= 400
    assert max(abs(pixel[channel] - RED[channel]) for pixel in seen for channel in range(3)) <= 16


def test_sharpening_leaves_opacity_alone(studio: Studio) -> None:
    picture = opened(IMAGES / "pil_transparent.webp", "RGBA")
    [made] = studio.make(picture, Look(sharpen=2))
    assert made.getchannel("A").tobytes() == picture.getchannel("A").tobytes()
    assert energy(made) > energy(picture)


def test_gray_has_equal_channels_and_keeps_opacity(studio: Studio) -> None:
    source = opened(IMAGES / "pil_transparent.webp", "RGBA")
    plain, clear = (
        studio.make(PEOPLE, Look(grayscale=True))[0],
        studio.make(source, Look(grayscale=True))[0],
    )
    for made in (plain, clear):
        red, green, blue = made.split()[:3]
        assert red == green == blue
    assert clear.getchannel("A").tobytes() == source.getchannel("A").tobytes()
    assert difference(plain, opened(PEOPLE, "L").convert("RGB")) < 2


def test_looks_of_one_size_do_not_disturb_each_other(studio: Studio, tmp_path: Path) -> None:
    alone = studio.make(PEOPLE, Look((200, 200)))[0]
    looks = (Look((200, 200), blur=3), Look((200, 200)), Look((200, 200), grayscale=True))
    assert studio.make(PEOPLE, *looks)[1] == alone
    assert (
        difference(studio.make(PEOPLE, looks[0])[0], alone.filter(ImageFilter.GaussianBlur(3))) < 1
    )
