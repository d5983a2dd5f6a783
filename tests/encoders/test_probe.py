"""Sniffing and probing: right on real files, bounded and calm on hostile ones."""

import io
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from encoders.errors import PictureError
from encoders.limits import Limits
from encoders.probe import Header, probe
from encoders.sniff import EXTENSIONS, MEDIA_TYPES, SNIFF_BYTES, sniff
from tests.encoders.pictures import IMAGES, OK, ROWS, upright

SAMPLES = [(IMAGES / row["file"]).read_bytes()[:8192] for row in ROWS]
FORMAT_OF = {"jpg": "jpeg", "svg": None}


@pytest.mark.parametrize("row", OK, ids=lambda row: row["file"])
def test_header_of_every_good_picture(row: dict[str, str]) -> None:
    header = probe(IMAGES / row["file"])
    extension = row["file"].rpartition(".")[2]
    assert header.format == FORMAT_OF.get(extension, extension)
    assert header.upright == upright(row)


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("pil_dispose_bgnd.gif", 5),
        ("pil_hopper.gif", 1),
        ("pil_dispose_op_background.png", 3),
        ("wbp_random_lossless.webp", 3),
        ("avf_colors-animated-8bpc.avif", 5),
        ("pil_multipage.tiff", 3),
    ],
)
def test_frames(name: str, frames: int) -> None:
    assert probe(IMAGES / name).frames == frames


@pytest.mark.parametrize(
    ("major", "compatible", "expected"),
    [
        (b"avif", b"mif1miaf", "avif"),
        (b"avis", b"msf1", "avif"),
        (b"heic", b"mif1avif", "heic"),
        (b"mif1", b"miafavif", "avif"),
        (b"mif1", b"heicmiaf", "heic"),
        (b"msf1", b"hevc", "heic"),
        (b"mif1", b"miaf", None),
        (b"isom", b"mp42", None),
    ],
)
def test_brands_tell_avif_from_heic(major: bytes, compatible: bytes, expected: str | None) -> None:
    body = b"ftyp" + major + bytes(4) + compatible
    head = (len(body) + 4).to_bytes(4, "big") + body + b"avifheic"
    assert sniff(head) == expected


def test_every_source_format_has_a_media_type_and_an_extension() -> None:
    assert MEDIA_TYPES.keys() == EXTENSIONS.keys()
    assert EXTENSIONS["jpeg"] == "jpg"


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(PictureError) as caught:
        probe(tmp_path / "empty")
    assert caught.value.code == "empty_picture"


def test_a_size_of_zero(tmp_path: Path) -> None:
    data = bytearray((IMAGES / "pil_hopper.jpg").read_bytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 7] = b"\0\0"
    (tmp_path / "flat.jpg").write_bytes(data)
    with pytest.raises(PictureError) as caught:
        probe(tmp_path / "flat.jpg")
    assert caught.value.code == "empty_picture"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (Header("png", 16_385, 1), "side_too_long"),
        (Header("png", 1, 16_385), "side_too_long"),
        (Header("gif", 10, 10, 501), "too_many_frames"),
        (Header("gif", 1000, 1000, 101), "too_many_pixels"),
        (Header("png", 10_001, 10_000), "too_many_pixels"),
    ],
)
def test_limits(header: Header, code: str) -> None:
    with pytest.raises(PictureError) as caught:
        Limits().check(header)
    assert caught.value.code == code


def test_limits_are_inclusive() -> None:
    Limits().check(Header("png", 10_000, 10_000))
    Limits().check(Header("gif", 100, 100, 500))


GIF = b"GIF89a" + bytes([8, 0, 8, 0, 0, 0, 0])
FTYP = b"\0\0\0\x10ftypavif\0\0\0\0"
META = b"\0\x3f\0\0meta\0\0\0\0"
PNG = (IMAGES / "pil_hopper.png").read_bytes()[:33]

HOSTILE = {
    "gif of 1-byte sub-blocks": (GIF + b"\x2c\0\0\0\0\x08\0\x08\0\0\x08", b"\x01", 100 << 20),
    "gif of empty extensions": (GIF, b"\x21\xfe\0", 30 << 20),
    "gif of empty frames": (GIF, b"\x2c\0\0\0\0\x08\0\x08\0\0\x08\0", 8 << 20),
    "jpeg of fill bytes": (b"\xff\xd8", b"\xff", 32 << 20),
    "jpeg of stray bytes": (b"\xff\xd8\xff\xe0\0\x02", b"\0", 32 << 20),
    "jpeg of empty segments": (b"\xff\xd8", b"\xff\xe0\0\x02", 8 << 20),
    "webp of empty chunks": (b"RIFF\0\0\0\x02WEBP", b"JUNK\0\0\0\0", 4 << 20),
    "avif of empty boxes": (FTYP, b"\0\0\0\x08free", 8 << 20),
    "avif of many properties": (FTYP + META, b"\0\0\0\x08free", 1 << 20),
    "png of empty chunks": (PNG, b"\0\0\0\0junk\0\0\0\0", 4 << 20),
    "tiff that points to itself": (b"II*\0\x08\0\0\0\0\0\x08\0\0\0", b"", 0),
    "tiff with a full directory": (b"II*\0\x08\0\0\0\xff\xff", b"\0", 16 << 20),
}
"""Name -> the start of the file, what is repeated after it, and how often."""


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_quickly(name: str, tmp_path: Path) -> None:
    start, piece, count = HOSTILE[name]
    path = tmp_path / "hostile"
    path.write_bytes(start + piece * count)
    started = time.process_time()
    with pytest.raises(PictureError) as caught:
        Limits().check(probe(path))
    spent = time.process_time() - started
    path.unlink()
    assert caught.value.code in {"damaged_picture", "empty_picture", "too_many_frames"}
    assert spent < 2


def test_a_large_honest_gif_is_not_hostile(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    noise = Image.effect_noise((2000, 2000), 90)
    noise.save(buffer, "GIF", save_all=True, append_images=[noise.rotate(90)], optimize=False)
    (tmp_path / "noise.gif").write_bytes(buffer.getvalue())
    assert probe(tmp_path / "noise.gif").frames == 2


@st.composite
def broken_files(draw: st.DrawFn) -> bytes:
    """A real file's start with some bytes changed and its end cut or repeated."""
    data = bytearray(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, len(data) - 1))
        data[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


# tests/fuzz gives the same readers many more.
@settings(max_examples=100, deadline=1000, suppress_health_check=[HealthCheck.too_slow])
@given(data=broken_files() | st.binary(max_size=600))
def test_only_picture_errors_come_out_of_broken_files(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(data)
    kind = sniff(data[:SNIFF_BYTES])
    assert kind is None or kind in MEDIA_TYPES
    header = _probe_or_none(path)
    if header:
        assert header.format == kind
        assert min(header.width, header.height, header.frames) >= 1


def _probe_or_none(path: Path) -> Header | None:
    try:
        return probe(path)
    except PictureError:
        return None
