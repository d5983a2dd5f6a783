"""Missing pixels are a failure with a reason; damage beside the pixels is none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import ImageCms

from encoders.converter import Converter
from encoders.errors import PictureError
from tests.encoders.damage import DAMAGED, photo, saved
from tests.encoders.pictures import IMAGES, OK, difference, opened, plan

CUTS = (0.3, 0.6, 0.9, 0.99)


def decoded(paths: list[Path], work_dir: Path, side: int = 0) -> list[dict[str, str]]:
    """What becomes of each file, in one process of its own, which must survive them all."""
    command = [sys.executable, "-m", "tests.encoders.decoding", str(work_dir), str(side)]
    names = "\n".join(map(str, paths))
    done = subprocess.run(command, input=names, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(answers) == len(paths)
    return answers


@pytest.mark.parametrize("side", [0, 60])
def test_a_cut_file_is_refused_or_right(side: int, tmp_path: Path) -> None:
    """Every good picture at four lengths: what still decodes is the same to the last pixel."""
    names, paths = [row["file"] for row in OK], []
    for name in names:
        data = (IMAGES / name).read_bytes()
        for part in (1, *CUTS):
            paths.append(tmp_path / f"{name}.{part}")
            paths[-1].write_bytes(data[: int(len(data) * part)])
    answers = iter(decoded(paths, tmp_path, side))
    forgiven = []
    for name in names:
        whole = opened(Path(next(answers)["pixels"]), "RGBA")
        for part in CUTS:
            answer = next(answers)
            if pixels := answer.get("pixels"):
                assert difference(opened(Path(pixels), "RGBA"), whole) == 0, (name, part)
                forgiven.append((name, part))
            else:
                assert answer["code"] == "damaged_picture", (name, part)
                assert str(tmp_path) not in answer["message"]
    assert forgiven == [
        ("pst_basn0g01.png", 0.99),
        ("pst_s01n3p01.png", 0.99),
        ("pil_multipage.tiff", 0.99),
    ]


@pytest.mark.parametrize("side", [0, 60])
def test_missing_pixels_in_a_whole_container(side: int, tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(len(DAMAGED))]
    for path, make in zip(paths, DAMAGED.values(), strict=True):
        path.write_bytes(make())
    answers = decoded(paths, tmp_path, side)
    codes = {name: each.get("code") for name, each in zip(DAMAGED, answers, strict=True)}
    assert codes == dict.fromkeys(DAMAGED, "damaged_picture")


def test_a_changed_byte_breaks_nothing_but_the_picture(tmp_path: Path) -> None:
    """Each format with bytes inverted all over: a picture or a reason, and one process for all."""
    paths = []
    for name in ("jpg", "png", "webp", "avif", "gif"):
        data = (IMAGES / f"pil_hopper.{name}").read_bytes()
        for part in range(5, 100, 10):
            changed = bytearray(data)
            changed[len(data) * part // 100] ^= 0xFF
            paths.append(tmp_path / f"{part}.{name}")
            paths[-1].write_bytes(changed)
    answers = decoded(paths, tmp_path)
    assert {each["code"] for each in answers if "code" in each} <= {
        "damaged_picture",
        "unsupported_type",
    }
    checked = [each for path, each in zip(paths, answers, strict=True) if path.suffix == ".png"]
    assert all("pixels" not in each for each in checked), "PNG has checksums"


@pytest.mark.parametrize(
    ("name", "words"),
    [("png RGB ended", "ends early"), ("jpeg", "premature end"), ("avif", "cannot be decoded")],
)
def test_the_reason_is_given(name: str, words: str, shared: Converter, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(DAMAGED[name]())
    with pytest.raises(PictureError, match=words):
        shared.convert(plan(tmp_path / "source", tmp_path, "png"))


def test_a_wrong_checksum_is_named(shared: Converter, tmp_path: Path) -> None:
    data = bytearray((IMAGES / "pil_hopper.png").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "source").write_bytes(data)
    with pytest.raises(PictureError, match="wrong checksum"):
        shared.convert(plan(tmp_path / "source", tmp_path, "png"))


def chunk_after_ihdr(data: bytes, name: bytes, body: bytes) -> bytes:
    """A chunk with a wrong checksum."""
    return data[:33] + len(body).to_bytes(4) + name + body + b"\1\2\3\4" + data[33:]


def segment(data: bytes, marker: int, body: bytes) -> bytes:
    return data[:2] + bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2) + body + data[2:]


JPEG, PNG = saved("JPEG", quality=95), saved("PNG")
BAD_EXIF = b"Exif\0\0II*\0\xff\xff\xff\x7f\x99"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
HARMLESS = {
    "jpeg exif": segment(JPEG, 0xE1, BAD_EXIF),
    "jpeg xmp": segment(JPEG, 0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta <<<"),
    "jpeg photoshop": segment(JPEG, 0xED, b"Photoshop 3.0\0" + b"8BIM\xff\xff\xff\xff\xff"),
    "jpeg stray bytes": JPEG[:20] + b"\1\2\3" + JPEG[20:],
    "jpeg trailing": JPEG + b"\xff\xd8 more" * 999,
    "png exif": chunk_after_ihdr(PNG, b"eXIf", BAD_EXIF),
    "png text": chunk_after_ihdr(PNG, b"tEXt", b"Comment\0wrong"),
    "png profile": chunk_after_ihdr(PNG, b"iCCP", b"name\0\0broken"),
    "png trailing": PNG + b"more" * 999,
    "webp exif": saved("WEBP", lossless=True, exif=BAD_EXIF),
    "webp trailing": saved("WEBP", lossless=True) + b"more" * 999,
    "gif trailing": saved("GIF") + b"more" * 999,
    "tiff trailing": saved("TIFF") + b"more" * 999,
    "avif trailing": saved("AVIF", quality=95) + b"more" * 999,
    "heic trailing": (IMAGES / "own_quarters.heic").read_bytes() + b"more" * 999,
}
"""Name -> a file whose pixels are all there."""


def test_damage_beside_the_pixels_does_not_matter(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(len(HARMLESS))]
    for path, data in zip(paths, HARMLESS.values(), strict=True):
        path.write_bytes(data)
    answers = decoded(paths, tmp_path)
    wrong = {name: each for name, each in zip(HARMLESS, answers, strict=True) if "code" in each}
    assert wrong == {}
    for name, answer in zip(HARMLESS, answers, strict=True):
        if not name.startswith(("heic", "gif")):
            assert difference(opened(Path(answer["pixels"])), photo()) < 6, name


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_cut_profile_is_only_ignored(kind: str, shared: Converter, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(saved(kind, icc_profile=PROFILE[:300]))
    outcome = shared.convert(plan(tmp_path / "source", tmp_path, "jpg"))
    assert [notice.code for notice in outcome.warnings] == ["profile_ignored"]
