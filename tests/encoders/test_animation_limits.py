"""Animations as stills, animations of one frame, and those that are refused."""

import struct
from pathlib import Path

import pytest
from PIL import Image

from encoders.converter import Converter
from encoders.errors import PictureError
from encoders.limits import Limits
from encoders.look import Look
from encoders.plan import Plan, Variant
from tests.encoders.encoding import encode, photo, same
from tests.encoders.moving import (
    BLUE,
    GREEN,
    PALETTE,
    RED,
    SIZE,
    Cel,
    Fc,
    apng,
    flags,
    frames_of,
    gif,
    indexed,
    moving,
    painted,
    saved,
    webp,
)
from tests.encoders.pictures import IMAGES, opened, plan


def test_still_formats_beside_animated_ones_say_so(shared: Converter, tmp_path: Path) -> None:
    outcome = shared.convert(
        moving(IMAGES / "pil_dispose_bgnd.gif", tmp_path, "webp", "png", "avif")
    )
    assert [notice.code for notice in outcome.warnings] == ["animation_first_frame"]
    assert "avif, png" in outcome.warnings[0].message
    first = frames_of(IMAGES / "pil_dispose_bgnd.gif")[0]
    assert same(opened(tmp_path / "out.png", "RGBA"), first)


def _webp_of_one(folder: Path, image: Image.Image) -> Path:
    """An animation from which all frames but the first are cut off."""
    data = webp(folder, flags(), duration=50).read_bytes()
    image.save(folder / "still", "WEBP", lossless=True)
    packed = (folder / "still").read_bytes()[12:]
    place = bytes(6) + b"".join((side - 1).to_bytes(3, "little") for side in image.size)
    body = place + (50).to_bytes(3, "little") + b"\0" + packed
    data = data[12 : data.index(b"ANMF")] + b"ANMF" + struct.pack("<I", len(body)) + body
    return saved(folder, b"RIFF" + struct.pack("<I", len(data) + 4) + b"WEBP" + data)


@pytest.mark.parametrize("kind", ["gif", "apng", "webp"])
def test_one_frame_is_a_still(kind: str, shared: Converter, tmp_path: Path) -> None:
    image = flags()[1]
    if kind == "webp":
        source = _webp_of_one(tmp_path, image)
    elif kind == "apng":
        source = saved(tmp_path, apng(image.size, [Fc(image)]))
    else:
        source = saved(tmp_path, encode("gif", tmp_path, image).read_bytes())
        data = source.read_bytes()
        at = data.index(b"!")
        source.write_bytes(data[:at] + b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0" + data[at:])
    outcome = shared.convert(moving(source, tmp_path, "webp", "gif", "png"))
    assert outcome.warnings == ()
    for name in ("webp", "gif", "png"):
        assert [same(frame, image) for frame in frames_of(tmp_path / f"out.{name}")] == [True]


def _late_damage(kind: str, folder: Path) -> Path:
    """An animation whose last frame cannot be unpacked."""
    image = photo(60)
    if kind == "gif":
        image = indexed(image.size, 1, PALETTE)
        data = gif(image.size, [Cel(image), Cel(image)])
        # Clear and end, and no pixel between (codes of 9 bits).
        data = data[: data.rindex(bytes(PALETTE)) + 12] + b"\x08\3\x00\x03\x02\0;"
    elif kind == "apng":
        data = apng(image.size, [Fc(image), Fc(image.rotate(180))])
        at = data.index(b"fdAT") + 300
        data = data[:at] + bytes(60) + data[at + 60 :]
    else:
        data = webp(folder, [image, image.rotate(180)], duration=50).read_bytes()
        at = data.rindex(b"VP8L") + 40
        data = data[:at] + bytes(60) + data[at + 60 :]
    return saved(folder, data)


@pytest.mark.parametrize("kind", ["gif", "apng", "webp"])
def test_damage_in_a_later_frame(kind: str, shared: Converter, tmp_path: Path) -> None:
    """Fails what needs the frame; a still does not, as only its frame is unpacked."""
    source = _late_damage(kind, tmp_path)
    with pytest.raises(PictureError) as caught:
        shared.convert(moving(source, tmp_path, "webp"))
    assert caught.value.code == "damaged_picture"
    assert str(tmp_path) not in caught.value.message
    assert shared.convert(plan(source, tmp_path, "jpg")).renditions


@pytest.mark.parametrize("says", [2, 4, 5])
def test_as_many_frames_as_promised(says: int, shared: Converter, tmp_path: Path) -> None:
    frames = [Fc(image) for image in painted((*RED, 255), (*BLUE, 255), (*GREEN, 255))]
    source = saved(tmp_path, apng((24, 16), frames, says=says))
    with pytest.raises(PictureError, match=f"3 frames, its header says {says}") as caught:
        shared.convert(moving(source, tmp_path, "gif"))
    assert caught.value.code == "damaged_picture"


def test_an_avif_that_breaks_off_in_its_pixels(shared: Converter, tmp_path: Path) -> None:
    data = (IMAGES / "avf_colors-animated-8bpc.avif").read_bytes()
    at = data.rindex(b"mdat") + 40
    source = saved(tmp_path, data[:at] + bytes(60) + data[at + 60 :])
    with pytest.raises(PictureError) as caught:
        shared.convert(moving(source, tmp_path, "webp"))
    assert caught.value.code == "damaged_picture"


def test_limits_hold_for_the_frames_together(shared: Converter, tmp_path: Path) -> None:
    frames = [Cel(indexed(SIZE, number % 4, PALETTE)) for number in range(6)]
    source = saved(tmp_path, gif(SIZE, frames))
    for limits, code in (
        (Limits(max_frames=5), "too_many_frames"),
        (Limits(max_pixels=8 * 7 * 6 - 1), "too_many_pixels"),
    ):
        job = moving(source, tmp_path, "webp")
        with pytest.raises(PictureError) as caught:
            shared.convert(Plan(job.source, job.out_dir, job.variants, limits))
        assert caught.value.code == code
    shared.convert(Plan(job.source, job.out_dir, job.variants, Limits(max_pixels=8 * 7 * 6)))


@pytest.mark.parametrize(
    "looks",
    [[Look((80, 70), enlarge=True)], [Look((side, side)) for side in (8, 7, 6)]],
    ids=["enlarged", "many"],
)
def test_the_outputs_may_not_hold_more_pixels_either(
    looks: list[Look], shared: Converter, tmp_path: Path
) -> None:
    source = saved(
        tmp_path, gif(SIZE, [Cel(indexed(SIZE, number % 4, PALETTE)) for number in range(6)])
    )
    variants = tuple(Variant(f"{number}.webp", "webp", each) for number, each in enumerate(looks))
    with pytest.raises(PictureError, match="animated outputs would have") as caught:
        shared.convert(Plan(source, tmp_path, variants, Limits(max_pixels=500)))
    assert caught.value.code == "too_many_pixels"
    stills = tuple(Variant(f"{number}.png", "png", each) for number, each in enumerate(looks))
    shared.convert(Plan(source, tmp_path, stills, Limits(max_pixels=500)))


def test_an_apng_frame_off_its_canvas_is_refused(shared: Converter, tmp_path: Path) -> None:
    red, blue = painted((*RED, 255), (*BLUE, 255))
    source = saved(tmp_path, apng((24, 16), [Fc(red), Fc(blue, (1, 0))]))
    with pytest.raises(PictureError, match="canvas"):
        shared.convert(moving(source, tmp_path, "gif"))
