"""Every way in which a file can state its colours, against littleCMS or the standard's formula."""

import io
import itertools
import math
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageCms

from encoders import icc
from encoders.converter import Converter
from encoders.look import Look
from encoders.plan import Plan, Variant
from tests.encoders.heif import box, nclx, remuxed
from tests.encoders.pictures import IMAGES, difference, opened, plan
from tests.encoders.test_color import SRGB, delta_e, lab

ADOBE_RGB = icc.from_gamma(2.19921875, (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06))
P3 = icc.from_code_points(12, 13)


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


def checker(mode: str = "RGB") -> Image.Image:
    """Colours all over the cube, in patches of 16 x 16."""
    picture = Image.new("RGB", (16 * 16, 16 * 4))
    for index in range(64):
        colour = tuple(40 + 60 * (index >> shift & 3) for shift in (0, 2, 4))
        x, y = index % 16 * 16, index // 16 * 16
        picture.paste(colour, (x, y, x + 16, y + 16))
    return picture.convert(mode)


def patches(image: Image.Image) -> list[tuple[int, ...]]:
    return [image.getpixel((x, y)) for y in range(8, 64, 16) for x in range(8, 256, 16)]


def worst(made: Image.Image, expected: Image.Image) -> float:
    """The largest delta E (CIE 1976) of any patch."""
    pairs = zip(patches(lab(made)), patches(lab(expected)), strict=True)
    return max(delta_e(one, other) for one, other in pairs)


def by_littlecms(image: Image.Image, profile: bytes) -> Image.Image:
    given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.profileToProfile(image, given, SRGB, outputMode="RGB")


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


def png(width: int, height: int, bits: int, kind: int, rows: bytes, *chunks: bytes) -> bytes:
    """A PNG that Pillow would not write."""
    ihdr = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    whole = [
        chunk(b"IHDR", ihdr),
        *chunks,
        chunk(b"IDAT", zlib.compress(rows)),
        chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(whole)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.mark.parametrize("kind", [2, 6])
def test_sixteen_bits_with_and_without_alpha(kind: int, shared: Converter, tmp_path: Path) -> None:
    pixel = struct.pack(">3H", 0x1234, 0x8080, 0xF0F0) + (b"\x40\0" if kind == 6 else b"")
    (tmp_path / "source").write_bytes(png(8, 8, 16, kind, (b"\0" + pixel * 8) * 8))
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
    data = png(2, 1, bits, 0, b"\0" + row, chunk(b"tRNS", transparent))
    (tmp_path / "source").write_bytes(data)
    shared.convert(plan(tmp_path / "source", tmp_path, "webp"))
    alpha = opened(tmp_path / "out.webp", "RGBA").getchannel("A")
    assert list(alpha.tobytes()) == [0, 255]


def gamma_of(stored: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", stored))


SRGB_CHUNK = chunk(b"sRGB", b"\0")


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([gamma_of(100_000)], 188),
        ([gamma_of(55_556)], 146),
        ([gamma_of(45_455)], 128),
        ([SRGB_CHUNK, gamma_of(100_000)], 128),
        ([gamma_of(0)], 128),
        ([gamma_of(100_000), chunk(b"cHRM", bytes(32))], 188),
    ],
    ids=["linear", "1.8", "2.2", "sRGB wins", "nonsense", "nonsense places"],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_gamma_of_png(
    bits: int, chunks: list[bytes], expected: int, shared: Converter, tmp_path: Path
) -> None:
    row = b"\0" + b"\x80" * (4 * 3 * bits // 8)
    (tmp_path / "source").write_bytes(png(4, 4, bits, 2, row * 4, *chunks))
    shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    assert abs(opened(tmp_path / "out.png").getpixel((1, 1))[0] - expected) <= 2


def cicp(primaries: int, transfer: int) -> bytes:
    return chunk(b"cICP", bytes([primaries, transfer, 0, 1]))


def in_png(picture: Image.Image, primaries: int, transfer: int) -> bytes:
    rows = picture.tobytes()
    step = picture.width * 3
    lines = b"".join(b"\0" + rows[at : at + step] for at in range(0, len(rows), step))
    return png(*picture.size, 8, 2, lines, cicp(primaries, transfer))


def in_avif(picture: Image.Image, primaries: int, transfer: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "AVIF", quality=100, subsampling="4:4:4")
    return remuxed(buffer.getvalue(), [nclx(primaries, transfer)], without=(b"colr",))


CONTAINERS = pytest.mark.parametrize("container", [in_png, in_avif])
Container = Callable[[Image.Image, int, int], bytes]


@CONTAINERS
def test_p3_by_code_points(container: Container, shared: Converter, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(container(checker(), 12, 13))
    outcome = shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    assert outcome.warnings == ()
    assert worst(opened(tmp_path / "out.png"), by_littlecms(checker(), P3)) < 4
    assert worst(checker(), by_littlecms(checker(), P3)) > 8


def pq(nits: float) -> int:
    """SMPTE ST 2084, as an 8-bit code value."""
    power = (nits / 10_000) ** 0.1593017578125
    return round(255 * ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375)


@CONTAINERS
def test_pq_becomes_a_sensible_sdr_picture(
    container: Container, shared: Converter, tmp_path: Path
) -> None:
    """Greys at and below half of the reference white are exact; above they are rolled off."""
    levels = (0, 10, 36, 80, 203, 1000, 4000)
    picture = Image.new("RGB", (16 * len(levels), 16))
    for index, nits in enumerate(levels):
        picture.paste((pq(nits),) * 3, (16 * index, 0, 16 * index + 16, 16))
    (tmp_path / "source").write_bytes(container(picture, 9, 16))
    outcome = shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    assert [notice.code for notice in outcome.warnings] == ["hdr_not_mapped"]
    made = opened(tmp_path / "out.png")
    greys = [made.getpixel((16 * index + 8, 8)) for index in range(len(levels))]
    assert all(max(grey) - min(grey) <= 4 for grey in greys)
    light = [0, 63, 117, 168, 232, 255, 255]
    assert all(abs(grey[1] - want) <= 6 for grey, want in zip(greys, light, strict=True)), greys


@CONTAINERS
def test_hlg_becomes_a_sensible_sdr_picture(
    container: Container, shared: Converter, tmp_path: Path
) -> None:
    picture = Image.new("RGB", (48, 16), (191,) * 3)
    picture.paste((0, 0, 0), (0, 0, 16, 16))
    picture.paste((191, 60, 60), (32, 0, 48, 16))
    (tmp_path / "source").write_bytes(container(picture, 9, 18))
    outcome = shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    assert [notice.code for notice in outcome.warnings] == ["hdr_not_mapped"]
    made = opened(tmp_path / "out.png")
    assert max(made.getpixel((8, 8))) < 6
    assert all(abs(part - 232) < 6 for part in made.getpixel((24, 8)))
    red, green, blue = made.getpixel((40, 8))
    assert red > 220
    assert max(green, blue) < 90


def test_a_profile_in_heic_is_used(shared: Converter, tmp_path: Path) -> None:
    """As in every photo of an iPhone."""
    data = (IMAGES / "own_quarters.heic").read_bytes()
    prof = box(b"colr", b"prof" + P3)
    (tmp_path / "plain").write_bytes(data)
    (tmp_path / "source").write_bytes(remuxed(data, [prof], without=(b"colr",)))
    shared.convert(plan(tmp_path / "plain", tmp_path, "png"))
    expected = by_littlecms(opened(tmp_path / "out.png"), P3)
    plain = opened(tmp_path / "out.png")
    shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    assert difference(opened(tmp_path / "out.png"), expected) < 1
    assert difference(plain, expected) > 5


def test_pq_in_heic_is_noticed(shared: Converter, tmp_path: Path) -> None:
    data = remuxed((IMAGES / "own_quarters.heic").read_bytes(), [nclx(9, 16)])
    (tmp_path / "source").write_bytes(data)
    outcome = shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    assert [notice.code for notice in outcome.warnings] == ["hdr_not_mapped"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            b"http://ns.adobe.com/xap/1.0/\0<x xmlns:hdrgm='http://ns.adobe.com/hdr-gain-map/1.0/'/>",
            b"",
        ),
        (b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0", b""),
        (b"MPF\0MM\0*", b"\xff\xd8 http://ns.apple.com/HDRGainMap/1.0/ \xff\xd9"),
    ],
    ids=["Ultra HDR", "ISO 21496-1", "Apple"],
)
def test_a_gain_map_is_dropped_and_said(
    before: bytes, after: bytes, shared: Converter, tmp_path: Path
) -> None:
    data = (IMAGES / "pil_hopper.jpg").read_bytes()
    marker = b"\xff\xe1" if before.startswith(b"http") else b"\xff\xe2"
    segment = marker + struct.pack(">H", len(before) + 2) + before
    (tmp_path / "source").write_bytes(data[:2] + segment + data[2:] + after)
    outcome = shared.convert(plan(tmp_path / "source", tmp_path, "jpg"))
    assert [notice.code for notice in outcome.warnings] == ["hdr_not_mapped"]
    assert difference(opened(tmp_path / "out.jpg"), opened(IMAGES / "pil_hopper.jpg")) < 6
    made = (tmp_path / "out.jpg").read_bytes()
    assert not any(trace in made for trace in (b"hdr-gain-map", b"21496", b"HDRGainMap", b"MPF"))


def test_a_code_point_outweighs_a_profile_only_in_png(shared: Converter, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    checker().save(buffer, "PNG", icc_profile=ADOBE_RGB)
    data = buffer.getvalue()
    (tmp_path / "source").write_bytes(data[:33] + cicp(12, 13) + data[33:])
    shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    assert worst(opened(tmp_path / "out.png"), by_littlecms(checker(), P3)) < 2


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


@pytest.mark.parametrize("name", ["pil_hopper.avif", "own_quarters.heic"])
def test_a_gain_map_item_is_dropped_and_said(name: str, shared: Converter, tmp_path: Path) -> None:
    """ISO 21496-1 in HEIF: an item of type tmap beside the primary picture, and a brand."""
    plain = (IMAGES / name).read_bytes()
    data = remuxed(plain, [], tone_map=True)
    (tmp_path / "plain").write_bytes(plain)
    (tmp_path / "source").write_bytes(data)
    shared.convert(plan(tmp_path / "plain", tmp_path, "png"))
    expected = opened(tmp_path / "out.png")
    outcome = shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    assert [notice.code for notice in outcome.warnings] == ["hdr_not_mapped"]
    assert difference(opened(tmp_path / "out.png"), expected) < 1
