"""Transparency: kept where the format can, flattened on white where it cannot, never bled."""

from pathlib import Path

import pytest
from PIL import Image

from encoders.converter import Converter
from tests.encoders.heif import TURNS, remuxed
from tests.encoders.pictures import FORMATS, IMAGES, difference, opened, plan

ALPHA_FORMATS = [name for name in FORMATS if name != "jpg"]


@pytest.mark.parametrize("made", ALPHA_FORMATS)
@pytest.mark.parametrize(
    "name",
    [
        "pil_transparent.webp",
        "pst_tbbn3p08.png",
        "pst_basn6a16.png",
        "avf_abc_color_irot_alpha_irot.avif",
    ],
)
def test_alpha_is_kept(name: str, made: str, shared: Converter, tmp_path: Path) -> None:
    outcome = shared.convert(plan(IMAGES / name, tmp_path, made, "png", quality=90))
    alpha = opened(tmp_path / f"out.{made}", "RGBA").getchannel("A")
    lossless = opened(tmp_path / "out.png", "RGBA").getchannel("A")
    assert lossless.getextrema()[0] < 250
    assert difference(alpha, lossless) < 3
    assert outcome.warnings == ()


def test_jpg_is_flattened_on_white_and_says_so(shared: Converter, tmp_path: Path) -> None:
    picture = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 16, 32))
    picture.save(tmp_path / "source", "PNG")
    outcome = shared.convert(plan(tmp_path / "source", tmp_path, "jpg", quality=95))
    made = opened(tmp_path / "out.jpg")
    assert [notice.code for notice in outcome.warnings] == ["alpha_flattened"]
    assert min(made.getpixel((28, 4))) > 250
    assert made.getpixel((4, 4))[2] > 240


def test_an_alpha_channel_that_is_opaque_is_no_news(shared: Converter, tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (10, 20, 30, 255)).save(tmp_path / "source", "PNG")
    assert shared.convert(plan(tmp_path / "source", tmp_path, "jpg")).warnings == ()


def test_hidden_colours_do_not_bleed_when_resized(shared: Converter, tmp_path: Path) -> None:
    picture = Image.new("RGBA", (200, 200), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 101, 200))
    picture.save(tmp_path / "source", "PNG")
    shared.convert(plan(tmp_path / "source", tmp_path, "png", box=(50, 50)))
    made = opened(tmp_path / "out.png", "RGBA")
    seen = [pixel for pixel in (made.getpixel((x, 20)) for x in range(50)) if pixel[3] > 8]
    assert len(seen) > 20
    assert max(pixel[0] for pixel in seen) < 8


@pytest.mark.parametrize("orientation", [1, 6])
def test_that_of_a_heic_is_kept(orientation: int, shared: Converter, tmp_path: Path) -> None:
    """Its brightness is its transparency, too, and turned with it."""
    data = (IMAGES / "own_quarters.heic").read_bytes()
    (tmp_path / "source").write_bytes(remuxed(data, TURNS[orientation], alpha=True))
    (tmp_path / "opaque").write_bytes(remuxed(data, TURNS[orientation]))
    outcome = shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    assert outcome.warnings == ()
    made = opened(tmp_path / "out.png", "RGBA")
    shared.convert(plan(tmp_path / "opaque", tmp_path, "png"))
    assert difference(made.convert("RGB"), opened(tmp_path / "out.png")) == 0
    assert difference(made.getchannel("A"), made.convert("L")) < 20
