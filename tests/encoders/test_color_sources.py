"""Every way in which a file can hold its colours, against littleCMS or the standard's formula."""

import itertools
import math
import struct
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from encoders import icc
from encoders.converter import Converter
from encoders.look import Look
from encoders.plan import Plan, Variant
from tests.encoders.colors import ADOBE_RGB, P3, by_littlecms, checker, lab, worst
from tests.encoders.pictures import IMAGES, difference, opened, plan
from tests.encoders.png import chunk, idat, ihdr, png


def ink_profile() -> bytes:
    """A press of our own: a table of 5 to the 4 nodes from CMYK to Lab, unlike any plain guess."""
    table = bytearray()
    for cyan, magenta, yellow, black in itertools.product((0, 0.25, 0.5, 0.75, 1), repeat=4):
        lightness = (1 - black) * (1 - 0.35 * cyan - 0.4 * magenta - 0.08 * yellow)
        a = (70 * magenta - 35 * cyan) * (1 - black)
        b = (85 * yellow - 45 * cyan - 5 * magenta) * (1 - black)
        numbers = 0xFF00 * max(lightness, 0.04), 256 * (128 + a), 256 * (128 + b)
        table += struct.pack(">3H", *map(round, numbers))
    one = 1 << 16
    head = struct.pack(">4s4xBBBx9iHH", b"mft2", 4, 3, 5, one, 0, 0, 0, one, 0, 0, 0, one, 2, 2)
    ramp = struct.pack(">2H", 0, 0xFFFF)
    profile = icc._profile(b"prtr", b"Lab ", {"A2B0": head + ramp * 4 + bytes(table) + ramp * 3})
    return profile[:16] + b"CMYK" + profile[20:]


INKS = ink_profile()


@pytest.mark.parametrize("profile", [ADOBE_RGB, P3], ids=["Adobe RGB", "P3"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_wide_gamut_in_every_container(
    kind: str, profile: bytes, shared: Converter, tmp_path: Path
) -> None:
    options = {
        "JPEG": {"quality": 100, "subsampling": 0},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    }
    source = tmp_path / "source"
    checker().save(source, kind, icc_profile=profile, **options.get(kind, {}))
    outcome = shared.convert(plan(source, tmp_path, "png"))
    expected = by_littlecms(opened(source), profile)
    assert worst(opened(tmp_path / "out.png"), expected) < 2
    assert worst(checker(), expected) > 5, "the picture must need a conversion"
    assert outcome.warnings == ()


def inks() -> Image.Image:
    """Sixteen by four patches of inks."""
    picture = Image.new("CMYK", (16 * 16, 16 * 4))
    for index in range(64):
        parts = tuple(255 * (index >> shift & 3) // 3 for shift in (0, 2, 4))
        place = index % 16 * 16, index // 16 * 16
        picture.paste((*parts, 30), (*place, place[0] + 16, place[1] + 16))
    return picture


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "JPEG without Adobe"])
def test_cmyk_with_a_profile(kind: str, shared: Converter, tmp_path: Path) -> None:
    """JPEGs have inverted inks; also, as browsers see it, where no Adobe segment says so."""
    name, _, bare = kind.partition(" ")
    options = {"quality": 100, "subsampling": 0} if name == "JPEG" else {}
    inks().save(tmp_path / "source", name, icc_profile=INKS, **options)
    if bare:
        data = (tmp_path / "source").read_bytes()
        at = data.index(b"\xff\xee\0\x0eAdobe")
        (tmp_path / "source").write_bytes(data[:at] + data[at + 16 :])
    outcome = shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    assert outcome.warnings == ()
    expected = by_littlecms(inks(), INKS)
    assert worst(opened(tmp_path / "out.png"), expected) < 3
    assert worst(inks().convert("RGB"), expected) > 20


def test_ycck(shared: Converter, tmp_path: Path) -> None:
    """Adobe's transform 2: cyan, magenta and yellow are stored as luma and chroma."""
    colour, ink = checker(), Image.new("L", (256, 64), 255 - 30)
    bands = ImageChops.invert(ImageChops.invert(colour).convert("YCbCr")).split()
    stored = Image.merge("CMYK", (*bands, ImageChops.invert(ink)))
    stored.save(tmp_path / "source", "JPEG", quality=100, subsampling=0)
    data = bytearray((tmp_path / "source").read_bytes())
    at = data.index(b"\xff\xee\0\x0eAdobe")
    data[at + 15] = 2
    (tmp_path / "source").write_bytes(data)
    outcome = shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    assert outcome.warnings == ()
    expected = colour.point(lambda value: value * (255 - 30) / 255)
    assert worst(opened(tmp_path / "out.png"), expected) < 5


def test_lab_tiff(shared: Converter, tmp_path: Path) -> None:
    expected = checker()
    lab(expected).save(tmp_path / "source", "TIFF")
    shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    # 8 bits of Lab are coarse.
    assert difference(opened(tmp_path / "out.png"), expected) < 3


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_every_mode_looks_the_same(kind: str, mode: str, shared: Converter, tmp_path: Path) -> None:
    picture = checker().quantize(64) if mode == "P" else checker(mode)
    if mode in ("LA", "RGBA"):
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save(tmp_path / "source", kind)
    shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    expected = picture.convert("RGBA")
    made = opened(tmp_path / "out.png", "RGBA")
    assert difference(made.getchannel("A"), expected.getchannel("A")) < 0.01
    assert difference(made, expected) < 1


@pytest.mark.parametrize("kind", [2, 6])
def test_sixteen_bits_with_and_without_alpha(kind: int, shared: Converter, tmp_path: Path) -> None:
    pixel = struct.pack(">3H", 0x1234, 0x8080, 0xF0F0) + (b"\x40\0" if kind == 6 else b"")
    (tmp_path / "source").write_bytes(png(ihdr(8, 8, 16, kind), idat((b"\0" + pixel * 8) * 8)))
    shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    made = opened(tmp_path / "out.png", "RGBA").getpixel((4, 4))
    expected = (0x12, 0x80, 0xF0, 0x40 if kind == 6 else 255)
    assert all(abs(one - other) <= 1 for one, other in zip(made, expected, strict=True))


@pytest.mark.parametrize(
    ("bits", "row", "transparent"),
    [
        (8, b"\x33\x99", b"\0\x33"),
        (4, b"\x39", b"\0\x03"),
        (2, b"\x10", b"\0\0"),
        (1, b"\x40", b"\0\0"),
    ],
)
def test_grey_with_a_transparent_value(
    bits: int, row: bytes, transparent: bytes, shared: Converter, tmp_path: Path
) -> None:
    """The first pixel is of the transparent value."""
    data = png(ihdr(2, 1, bits), chunk(b"tRNS", transparent), idat(b"\0" + row))
    (tmp_path / "source").write_bytes(data)
    shared.convert(plan(tmp_path / "source", tmp_path, "webp"))
    alpha = opened(tmp_path / "out.webp", "RGBA").getchannel("A")
    assert list(alpha.tobytes()) == [0, 255]


def test_no_fringes_where_transparent_meets_opaque(shared: Converter, tmp_path: Path) -> None:
    """A white disc on transparent black: half-covered pixels stay white."""
    for kind in ("PNG", "WEBP", "TIFF", "AVIF"):
        picture = Image.new("RGBA", (240, 240), (0, 0, 0, 0))
        disc = (
            Image.radial_gradient("L").resize((240, 240)).point(lambda value: 255 * (value < 120))
        )
        picture.paste((255, 255, 255, 255), (0, 0), disc)
        options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        picture.save(tmp_path / "source", kind, **options)
        shared.convert(plan(tmp_path / "source", tmp_path, "png", box=(40, 40)))
        made = opened(tmp_path / "out.png", "RGBA")
        edge = [
            p
            for p in (made.getpixel((x, y)) for x in range(40) for y in range(40))
            if 64 < p[3] < 192
        ]
        assert len(edge) > 20
        allowed = 200 if kind == "AVIF" else 250
        assert min(min(pixel[:3]) for pixel in edge) > allowed, kind


def test_associated_alpha_of_tiff_is_divided_out(shared: Converter, tmp_path: Path) -> None:
    """ExtraSamples 1: colours are stored multiplied by their alpha."""
    picture = Image.new("RGBA", (16, 16), (128, 64, 0, 128))
    picture.save(tmp_path / "source", "TIFF")
    data = (tmp_path / "source").read_bytes()
    entry = struct.pack("<HHIH", 338, 3, 1, 2)
    assert entry in data
    (tmp_path / "source").write_bytes(data.replace(entry, struct.pack("<HHIH", 338, 3, 1, 1)))
    shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    made = opened(tmp_path / "out.png", "RGBA").getpixel((8, 8))
    assert all(abs(a - b) <= 2 for a, b in zip(made, (255, 128, 0, 128), strict=True)), made


def keep(name: str) -> Variant:
    return Variant(f"out.{name}", name, Look(color_profile="keep"))


def test_kept_colours_are_the_files_own(shared: Converter, tmp_path: Path) -> None:
    checker().save(tmp_path / "source", "PNG", icc_profile=P3)
    outcome = shared.convert(Plan(tmp_path / "source", tmp_path, (keep("png"),)))
    with Image.open(tmp_path / "out.png") as image:
        if outcome.warnings:
            assert [notice.code for notice in outcome.warnings] == ["profile_not_kept"]
            assert worst(image.convert("RGB"), by_littlecms(checker(), P3)) < 2
        else:
            assert image.info["icc_profile"] == P3
            assert difference(image.convert("RGB"), checker()) == 0


def test_inks_cannot_be_kept(shared: Converter, tmp_path: Path) -> None:
    outcome = shared.convert(Plan(IMAGES / "wil_cmyk.jpg", tmp_path, (keep("png"),)))
    assert [notice.code for notice in outcome.warnings] == ["profile_not_kept"]
    plain = shared.convert(plan(IMAGES / "wil_cmyk.jpg", tmp_path, "webp"))
    assert plain.warnings == ()


def test_the_conversion_of_eci_is_exact_when_shrunk(shared: Converter, tmp_path: Path) -> None:
    source = IMAGES / "wil_colorchecker_ECI_RGB_v2.jpg"
    shared.convert(plan(source, tmp_path, "png", box=(270, 220)))
    with Image.open(source) as image:
        expected = by_littlecms(image.convert("RGB"), image.info["icc_profile"])
    made = opened(tmp_path / "out.png")
    assert difference(made, expected.resize(made.size, Image.Resampling.LANCZOS)) < 1
    assert math.isclose(made.width / made.height, 538 / 439, rel_tol=0.01)
