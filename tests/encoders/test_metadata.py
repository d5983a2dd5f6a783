"""Metadata: gone by default, rebuilt where the client asked to keep it."""

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image, ImageCms

from encoders import registry
from encoders.converter import Converter
from encoders.look import Look
from encoders.metadata import kept
from encoders.plan import Outcome, Plan, Variant
from tests.encoders.colors import P3
from tests.encoders.damage import photo, saved
from tests.encoders.pictures import FORMATS, IMAGES, plan
from tests.encoders.png import chunk
from tests.encoders.test_integrity import segment

TELLTALE = """
import base64, json

class Telltale:
    name = extension = "telltale"
    media_type = "application/json"
    settings = frozenset()
    alpha = animated = False
    embeds = frozenset({"profile", "exif", "xmp"})

    def encode(self, picture, path, settings):
        blocks = picture.profile, picture.exif, picture.xmp
        path.write_text(json.dumps([base64.b64encode(each or b"").decode() for each in blocks]))
"""
"""An encoder that embeds everything, and stores only that."""

XMP = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:own="https://example.com/own/"
 tiff:Orientation="6" hdrgm:Version="1.0" own:secret="kept">
<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© Ada &amp; Co</rdf:li></rdf:Alt></dc:rights>
<dc:creator><rdf:Seq><rdf:li>Ada</rdf:li><rdf:li>Bob</rdf:li></rdf:Seq></dc:creator>
<xmp:Thumbnails><rdf:Alt><rdf:li>THUMB</rdf:li></rdf:Alt></xmp:Thumbnails>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()


def exif_block() -> bytes:
    """Orientation 6, a place, a thumbnail's directory, a maker's note, and more."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Camera", 6
    exif[0x013B], exif[0x8298] = "Ada", "© Ada & Co".encode()
    inner = exif.get_ifd(0x8769)
    inner[0x9003], inner[0x927C] = "2024:01:02 03:04:05", b"MAKERS SECRET" * 9
    inner[0xA002], inner[0xA003], inner[0x829A] = 4000, 3000, 0.01
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 0.0)})
    return _with_thumbnail(exif.tobytes().removeprefix(b"Exif\0\0"))


def _with_thumbnail(block: bytes) -> bytes:
    """A second directory, which points at a small JPEG."""
    order = "<" if block[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, first)
    thumbnail = saved("JPEG", photo(16, 16))
    at = len(block) + 2 + 2 * 12 + 4
    second = struct.pack(order + "HHHIIHHIII", 2, 0x201, 4, 1, at, 0x202, 4, 1, len(thumbnail), 0)
    link = first + 2 + 12 * count
    return (
        block[:link] + struct.pack(order + "I", len(block)) + block[link + 4 :] + second + thumbnail
    )


def read(block: bytes) -> Image.Exif:
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + block)
    return exif


@pytest.fixture
def telltale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    packages = tmp_path / "packages"
    metadata = packages / "telltale-1.0.dist-info"
    metadata.mkdir(parents=True)
    (packages / "telltale.py").write_text(TELLTALE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: telltale\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[pixerve.encoders]\ntelltale = telltale:Telltale\n")
    monkeypatch.syspath_prepend(packages)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    registry.forget()
    yield
    registry.forget()


def told(
    converter: Converter,
    source: Path,
    out_dir: Path,
    *,
    profile: str = "srgb",
    metadata: str = "keep",
) -> tuple[bytes, bytes, bytes, Outcome]:
    """Profile, EXIF and XMP that an encoder is handed."""
    look = Look((100, 100), color_profile=profile)
    variant = Variant("out", "telltale", look, metadata=metadata)
    outcome = converter.convert(Plan(source, out_dir, (variant,)))
    blocks = json.loads((out_dir / "out").read_text())
    return *(base64.b64decode(each) for each in blocks), outcome


def full_of_it(kind: str) -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = b"Exif\0\0" + exif_block()
    if kind == "TIFF":
        whole = read(exif_block())
        whole[700] = XMP
        return saved(kind, exif=whole, icc_profile=profile)
    data = saved(kind, exif=exif, xmp=XMP, icc_profile=profile)
    if kind == "PNG":
        packet = b"XML:com.adobe.xmp\0\0\0\0\0" + XMP
        data = saved(kind, exif=exif, icc_profile=profile)
        data = data[:33] + chunk(b"iTXt", packet) + chunk(b"tEXt", b"Comment\0secret") + data[33:]
    if kind == "JPEG":
        data = segment(
            data, 0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x08\x1c\x02\x50\0\3Ada"
        )
        data = segment(data, 0xFE, b"a secret comment") + b"trailing secret"
    return data


MARK = dict.fromkeys(("TIFF", "AVIF"), "?? Ada & Co")
"""Pillow writes question marks for UTF-8 into these, and shows it as Latin-1 elsewhere."""
KINDS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")
TRACES = (
    b"Exif", b"Camera", b"Ada", b"MAKERS", b"2024:01", b"adobe", b"rdf", b"THUMB", b"acsp", b"iCCP",
    b"secret", b"8BIM", b"Photoshop", b"JFIF\0\1\1\1\0\x48\0\x48\0\0\xff\xe1",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_by_default(kind: str, shared: Converter, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(full_of_it(kind))
    shared.convert(plan(tmp_path / "source", tmp_path, *FORMATS))
    for name in FORMATS:
        data = (tmp_path / f"out.{name}").read_bytes()
        assert [trace for trace in TRACES if trace in data] == [], name


@pytest.mark.usefixtures("telltale")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept(kind: str, converter: Converter, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(full_of_it(kind))
    _, exif, xmp, outcome = told(converter, tmp_path / "source", tmp_path)
    assert {notice.code for notice in outcome.warnings} <= {"hdr_not_mapped"}
    block, size = read(exif), outcome.renditions[0]
    assert (block[0x010F], block[0x0112]) == ("Camera", 1)
    assert block[0x8298] == MARK.get(kind, "Â© Ada & Co")
    inner, place = block.get_ifd(0x8769), block.get_ifd(0x8825)
    assert (inner[0xA002], inner[0xA003]) == (size.width, size.height)
    assert inner[0x9003] == "2024:01:02 03:04:05"
    assert (place[1], place[2][0]) == ("N", 48)
    assert b"MAKERS" not in exif
    assert b"\xff\xd8" not in exif
    ElementTree.fromstring(  # noqa: S314 - written by ourselves
        xmp.decode().partition("?>")[2].rpartition("<?")[0]
    )
    assert b'own:secret="kept"' in xmp
    assert "© Ada &amp; Co".encode() in xmp
    assert not any(trace in xmp for trace in (b"THUMB", b"Orientation", b"hdrgm:Version"))


@pytest.mark.usefixtures("telltale")
@pytest.mark.parametrize("kind", KINDS)
def test_the_copyright_alone(kind: str, converter: Converter, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(full_of_it(kind))
    _, exif, xmp, _ = told(converter, tmp_path / "source", tmp_path, metadata="copyright")
    assert dict(read(exif)) == {0x013B: "Ada", 0x8298: MARK.get(kind, "Â© Ada & Co")}
    assert b"<rdf:li>Ada</rdf:li><rdf:li>Bob</rdf:li>" in xmp
    assert "© Ada &amp; Co".encode() in xmp
    assert b"secret" not in xmp


@pytest.mark.usefixtures("telltale")
def test_the_profile_goes_with_kept_colours(converter: Converter, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(saved("PNG", icc_profile=P3))
    profile, *_, outcome = told(converter, tmp_path / "source", tmp_path, profile="keep")
    assert (profile, outcome.warnings) == (P3, ())
    profile, *_ = told(converter, tmp_path / "source", tmp_path)
    assert profile == b""
    (tmp_path / "source").write_bytes(saved("PNG", icc_profile=P3[:300]))
    profile, *_, outcome = told(converter, tmp_path / "source", tmp_path, profile="keep")
    codes = {notice.code for notice in outcome.warnings}
    assert (profile, codes) == (b"", {"profile_not_kept", "profile_ignored"})


SIZE = (80, 60)
BROKEN_EXIF = {
    "no directory": b"II*\0\xff\xff\xff\x7f",
    "not TIFF": b"garbage",
    "cut": exif_block()[:90],
    "empty": b"II*\0",
}


@pytest.mark.parametrize("name", BROKEN_EXIF)
def test_a_broken_exif_block_is_left_out_or_mended(name: str) -> None:
    exif, _, notices = kept(BROKEN_EXIF[name], None, "keep", SIZE, srgb=True)
    if exif is None:
        assert [notice.code for notice in notices] == ["metadata_unreadable"]
    else:
        assert read(exif)[0x0112] == 1


@pytest.mark.parametrize(
    "packet",
    [
        b"<x:xmpmeta",
        b"<html/>",
        b"\xff\xfe<\0",
        b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]>" + XMP,
        b"<?p <!-- ?><!DOCTYPE x [<!ENTITY a 'aaaa'>]><?p --> ?>" + XMP,
        b"<!--" * 250_000,
        XMP.replace(b"Ada</rdf", b"A" * (1 << 20) + b"</rdf"),
    ],
    ids=["cut", "other", "other encoding", "entities", "hidden ones", "comments", "too large"],
)
@pytest.mark.parametrize("how", ["keep", "copyright"])
def test_a_broken_packet_is_left_out(packet: bytes, how: str) -> None:
    _, xmp, notices = kept(None, packet, how, SIZE, srgb=True)
    assert xmp is None
    assert [notice.code for notice in notices] == ["metadata_unreadable"]


def test_too_much_exif_is_left_out() -> None:
    exif = Image.Exif()
    exif[0x010E] = "x" * 70_000
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    assert [n.code for n in kept(block, None, "keep", SIZE, srgb=True).notices] == [
        "metadata_unreadable"
    ]
    assert kept(block, None, "copyright", SIZE, srgb=True) == (None, None, ())


def test_kept_exif_says_which_colours(tmp_path: Path) -> None:
    for srgb, number in ((True, 1), (False, 0xFFFF)):
        exif = kept(exif_block(), None, "keep", SIZE, srgb=srgb).exif
        assert read(exif or b"").get_ifd(0x8769)[0xA001] == number


def test_gps_of_a_real_photo_is_kept_on_request_only(shared: Converter, tmp_path: Path) -> None:
    with Image.open(IMAGES / "pil_exif_gps.jpg") as image:
        block = image.info["exif"].removeprefix(b"Exif\0\0")
    assert read(kept(block, None, "keep", SIZE, srgb=True).exif or b"").get_ifd(0x8825)
    reduced = kept(block, None, "copyright", SIZE, srgb=True)
    assert reduced.exif is None or not read(reduced.exif).get_ifd(0x8825)
