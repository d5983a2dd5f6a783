"""Colours that a file states by numbers: gamma, code points, and the HDR that cannot be kept."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from encoders.converter import Converter
from tests.encoders.colors import ADOBE_RGB, P3, by_littlecms, checker, worst
from tests.encoders.heif import box, nclx, remuxed
from tests.encoders.pictures import IMAGES, difference, opened, plan
from tests.encoders.png import chunk, idat, ihdr, lines, png


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
    (tmp_path / "source").write_bytes(png(ihdr(4, 4, bits, 2), *chunks, idat(row * 4)))
    shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    assert abs(opened(tmp_path / "out.png").getpixel((1, 1))[0] - expected) <= 2


def cicp(primaries: int, transfer: int) -> bytes:
    return chunk(b"cICP", bytes([primaries, transfer, 0, 1]))


def in_png(picture: Image.Image, primaries: int, transfer: int) -> bytes:
    return png(ihdr(*picture.size, 8, 2), cicp(primaries, transfer), idat(lines(picture)))


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
