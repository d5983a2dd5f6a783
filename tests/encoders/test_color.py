"""Colours come out as sRGB: the numbers are compared with littleCMS at full size."""

from pathlib import Path

import pytest
from PIL import Image, ImageCms

from encoders.converter import Converter
from tests.encoders.colors import SRGB, by_littlecms, delta_e, lab
from tests.encoders.pictures import IMAGES, difference, opened, plan


def expected_of(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return by_littlecms(image, image.info["icc_profile"])


def test_eci_patches_are_within_delta_e_2(shared: Converter, tmp_path: Path) -> None:
    source = IMAGES / "wil_colorchecker_ECI_RGB_v2.jpg"
    shared.convert(plan(source, tmp_path, "png"))
    made, expected = lab(opened(tmp_path / "out.png")), lab(expected_of(source))
    unconverted = lab(opened(source))
    worst, apart = 0.0, 0.0
    for x in range(50, made.width, 45):
        for y in range(40, made.height, 45):
            pixel = expected.getpixel((x, y))
            worst = max(worst, delta_e(made.getpixel((x, y)), pixel))
            apart = max(apart, delta_e(unconverted.getpixel((x, y)), pixel))
    assert worst < 2
    assert apart > 5, "the picture must need a conversion, or this test proves nothing"


def test_cmyk_becomes_what_its_profile_says(shared: Converter, tmp_path: Path) -> None:
    source = IMAGES / "wil_cmyk.jpg"
    shared.convert(plan(source, tmp_path, "png"))
    with Image.open(source) as image:
        has_profile = "icc_profile" in image.info
        naive = image.convert("RGB")
    expected = expected_of(source) if has_profile else naive
    assert difference(opened(tmp_path / "out.png"), expected) < 3


@pytest.mark.parametrize(
    ("inks", "colour"),
    [((0, 0, 0, 0), (255, 255, 255)), ((0, 255, 255, 0), (255, 0, 0)), ((0, 0, 0, 255), (0, 0, 0))],
)
def test_cmyk_without_a_profile_is_plain_inks(
    inks: tuple[int, ...], colour: tuple[int, ...], shared: Converter, tmp_path: Path
) -> None:
    Image.new("CMYK", (32, 32), inks).save(tmp_path / "source", "JPEG", quality=95)
    outcome = shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    assert difference(opened(tmp_path / "out.png"), Image.new("RGB", (32, 32), colour)) < 3
    assert outcome.warnings == ()


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_broken_profile_is_ignored_and_said(mode: str, shared: Converter, tmp_path: Path) -> None:
    broken = ImageCms.ImageCmsProfile(SRGB).tobytes()[:200]
    Image.new("RGB", (16, 16), "red").convert(mode).save(
        tmp_path / "source", "JPEG", icc_profile=broken, quality=95
    )
    outcome = shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    assert [notice.code for notice in outcome.warnings] == ["profile_ignored"]
    assert difference(opened(tmp_path / "out.png"), Image.new("RGB", (16, 16), "red")) < 4


def test_a_profile_for_another_kind_of_picture_is_ignored(
    shared: Converter, tmp_path: Path
) -> None:
    profile = ImageCms.ImageCmsProfile(SRGB).tobytes()
    Image.new("CMYK", (16, 16), "red").save(tmp_path / "source", "JPEG", icc_profile=profile)
    outcome = shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    assert [notice.code for notice in outcome.warnings] == ["profile_ignored"]


def test_a_grey_picture_with_an_rgb_profile_stays_grey(shared: Converter, tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(SRGB).tobytes()
    Image.new("L", (16, 16), 120).save(tmp_path / "source", "PNG", icc_profile=profile)
    outcome = shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    assert outcome.warnings == ()
    assert difference(opened(tmp_path / "out.png"), Image.new("RGB", (16, 16), (120,) * 3)) < 2


def test_a_grey_picture_looks_the_same(shared: Converter, tmp_path: Path) -> None:
    shared.convert(plan(IMAGES / "pil_hopper_gray.jpg", tmp_path, "png"))
    assert difference(opened(tmp_path / "out.png"), opened(IMAGES / "pil_hopper_gray.jpg")) < 2


def test_heic_colours_are_not_left_as_luma_and_chroma(shared: Converter, tmp_path: Path) -> None:
    shared.convert(plan(IMAGES / "thu_image.heic", tmp_path, "png", "webp"))
    png, webp = opened(tmp_path / "out.png"), opened(tmp_path / "out.webp")
    assert difference(png, webp) < 6
    assert png.getextrema() != ((0, 0), (0, 0), (0, 0))
