"""Which way is up, by looking at pixels."""

from pathlib import Path

import pytest
from PIL import Image, ImageOps

from encoders.converter import Converter
from tests.encoders.heif import TURNS, remuxed
from tests.encoders.pictures import IMAGES, difference, opened, plan

TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera that was held so stores an upright scene: the inverse of what must be done."""


def scene(width: int = 96, height: int = 48) -> Image.Image:
    """Wide, and different in each corner."""
    picture = Image.new("RGB", (width, height), (200, 30, 30))
    picture.paste((30, 200, 30), (0, 0, width // 2, height // 2))
    picture.paste((30, 30, 200), (width // 2, height // 2, width, height))
    return picture


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "TIFF jpeg", "TIFF tiff_lzw"]
)
def test_every_orientation_is_applied_once(
    kind: str, orientation: int, shared: Converter, tmp_path: Path
) -> None:
    name, _, compression = kind.partition(" ")
    stored = scene().transpose(TURNED[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"compression": compression} if compression else {"quality": 95}
    stored.save(tmp_path / "source", name, exif=exif, **options)
    outcome = shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    assert outcome.header.upright == (96, 48)
    assert difference(opened(tmp_path / "out.png"), scene()) < 8


@pytest.mark.parametrize(
    "name",
    [f"pil_hopper_orientation_{number}.jpg" for number in (3, 5, 6, 8)]
    + ["pil_hopper_orientation_6.webp"],
)
def test_a_turned_portrait_stands_up(name: str, shared: Converter, tmp_path: Path) -> None:
    shared.convert(plan(IMAGES / name, tmp_path, "png"))
    assert difference(opened(tmp_path / "out.png"), opened(IMAGES / "pil_hopper.jpg")) < 12


@pytest.mark.parametrize("name", ["rec_Landscape_6.jpg", "imp_orientation-6.png"])
@pytest.mark.parametrize("box", [None, (90, 60)])
def test_boxes_are_for_the_upright_picture(
    name: str, box: tuple[int, int] | None, shared: Converter, tmp_path: Path
) -> None:
    outcome = shared.convert(plan(IMAGES / name, tmp_path, "png", box=box))
    with Image.open(IMAGES / name) as image:
        expected = ImageOps.exif_transpose(image).convert("RGBA")
    made = outcome.renditions[0]
    expected = expected.resize((made.width, made.height), Image.Resampling.LANCZOS)
    assert difference(opened(tmp_path / "out.png", "RGBA"), expected) < 4


def test_the_container_of_an_avif_turns_it_once(shared: Converter, tmp_path: Path) -> None:
    source = IMAGES / "avf_abc_color_irot_alpha_irot.avif"
    shared.convert(plan(source, tmp_path, "png"))
    with Image.open(source) as image:
        expected = ImageOps.exif_transpose(image).convert("RGBA")
    assert expected.size == (256, 512)
    assert difference(opened(tmp_path / "out.png", "RGBA"), expected) < 1


@pytest.mark.parametrize("contradicted", [False, True])
@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_the_container_outweighs_exif(
    kind: str, orientation: int, contradicted: bool, shared: Converter, tmp_path: Path
) -> None:
    """ISO/IEC 23000-22: EXIF orientation is to be ignored where irot and imir can say it."""
    data = (IMAGES / "own_quarters.heic").read_bytes()
    if kind == "avif":
        scene(128, 64).save(tmp_path / "plain", "AVIF", quality=95)
        data = (tmp_path / "plain").read_bytes()
    exif = Image.Exif()
    exif[0x0112] = 6 if orientation == 1 else 1
    block = exif.tobytes().removeprefix(b"Exif\0\0") if contradicted else b""
    (tmp_path / "source").write_bytes(remuxed(data, TURNS[orientation], exif=block))
    shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    expected = scene(128, 64)
    expected.getexif()[0x0112] = orientation
    assert difference(opened(tmp_path / "out.png"), ImageOps.exif_transpose(expected)) < 8


def test_the_tag_is_gone_after(shared: Converter, tmp_path: Path) -> None:
    shared.convert(plan(IMAGES / "rec_Landscape_6.jpg", tmp_path, "jpg", "webp", "avif", "png"))
    for name in ("jpg", "webp", "avif", "png"):
        with Image.open(tmp_path / f"out.{name}") as image:
            assert 0x0112 not in image.getexif()
