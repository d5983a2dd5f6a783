"""The lean decoders: the same pixels as ImageMagick's, never too few of them, and a way back."""

from pathlib import Path

import pytest
from PIL import Image

from encoders.converter import Converter
from encoders.library import load_decoders
from encoders.probe import probe
from tests.encoders.damage import DAMAGED, photo, saved
from tests.encoders.pictures import IMAGES, difference, opened, plan

load_decoders()

from encoders.decoders import Decoded, libwebp, magick, pillow_png, turbo  # noqa: E402

HAS_TURBO = turbo._LIBRARY is not None
needs_turbo = pytest.mark.skipif(not HAS_TURBO, reason="libturbojpeg0 is not installed")
BIG = Image.open(IMAGES / "imn_large.jpg").convert("RGB").resize((1203, 677))


def lean(path: Path, hint: tuple[int, int] | None = None) -> Decoded | None:
    header = probe(path)
    size = hint or (header.width, header.height)
    if header.format == "png":
        return pillow_png.decode(path, header)
    return (turbo if header.format == "jpeg" else libwebp).decode(path, header, size)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("pil_hopper.jpg", marks=needs_turbo),
        pytest.param("img_cat.jpg", marks=needs_turbo),
        pytest.param("pil_hopper_gray.jpg", marks=needs_turbo),
        "pil_hopper.png",
        "pst_s01n3p01.png",
        "pil_hopper.webp",
        "pil_transparent.webp",
    ],
)
def test_the_pixels_are_image_magicks(name: str, tmp_path: Path) -> None:
    header = probe(IMAGES / name)
    made = lean(IMAGES / name)
    assert made is not None
    other = magick.decode(IMAGES / name, header, (header.width, header.height), tmp_path)
    assert made.image.mode == other.image.mode
    assert difference(made.image, other.image) < 1


@pytest.mark.parametrize(
    "name", ["wil_cmyk.jpg", "pst_basn6a16.png", "pst_basi3p08.png", "wbp_random_lossless.webp"]
)
def test_what_is_not_plain_is_left_to_image_magick(name: str) -> None:
    assert lean(IMAGES / name) is None


@pytest.mark.parametrize("name", ["jpeg", "jpeg progressive", "webp", "webp lossless"])
def test_damage_is_left_to_image_magick(name: str, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(DAMAGED[name]())
    assert lean(tmp_path / "source") is None


@needs_turbo
@pytest.mark.parametrize(
    ("hint", "size"),
    [
        ((1203, 677), (1203, 677)),
        ((361, 202), (452, 254)),
        ((362, 202), (602, 339)),
        ((482, 271), (1203, 677)),
        ((1, 1), (151, 85)),
    ],
)
def test_jpeg_is_shrunk_to_no_less_than_wanted(
    hint: tuple[int, int], size: tuple[int, int], tmp_path: Path
) -> None:
    (tmp_path / "source").write_bytes(saved("JPEG", BIG, quality=95))
    made = lean(tmp_path / "source", hint)
    assert made is not None
    assert made.image.size == size


def test_a_small_jpeg_is_not_shrunk(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(saved("JPEG"))
    made = lean(tmp_path / "source", (30, 20))
    assert made is None if not HAS_TURBO else made and made.image.size == photo().size


@pytest.mark.parametrize(
    ("hint", "size"),
    [
        ((1203, 677), (1203, 677)),
        ((601, 338), (602, 339)),
        ((602, 300), (1203, 677)),
        ((1, 1), (151, 85)),
    ],
)
def test_webp_is_halved_to_no_less_than_wanted(
    hint: tuple[int, int], size: tuple[int, int], tmp_path: Path
) -> None:
    (tmp_path / "source").write_bytes(saved("WEBP", BIG, quality=90))
    made = lean(tmp_path / "source", hint)
    assert made is not None
    assert made.image.size == size


def test_webp_with_alpha_is_not_scaled_while_hidden_colours_are_there(tmp_path: Path) -> None:
    picture = BIG.convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(BIG.size))
    (tmp_path / "source").write_bytes(saved("WEBP", picture, quality=90))
    made = lean(tmp_path / "source", (1, 1))
    assert made is not None
    assert made.image.size == BIG.size


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
def test_shrinking_on_load_looks_the_same(kind: str, shared: Converter, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(saved(kind, BIG, quality=95))
    shared.convert(plan(tmp_path / "source", tmp_path, "png", box=(300, 300)))
    made = opened(tmp_path / "out.png")
    assert made.size == (300, 169), "as the picture's own size has it"
    expected = BIG.resize(made.size, Image.Resampling.LANCZOS)
    assert difference(made, expected) < 3.5
