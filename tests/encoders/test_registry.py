"""The formats, and a new one that comes as one file from outside."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from encoders import registry
from encoders.converter import Converter
from encoders.errors import PictureError
from encoders.look import Look
from encoders.plan import Plan, Variant
from tests.encoders.pictures import IMAGES, plan

BMP = """
class Bmp:
    name = "bmp"
    extension = "bmp"
    media_type = "image/bmp"
    settings = frozenset()
    alpha = False
    animated = False
    embeds = frozenset()

    def encode(self, picture, path, settings):
        if settings.quality == 13:
            raise ValueError("thirteen is unlucky")
        picture.image.save(path, "BMP")
"""


@pytest.fixture
def bmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package of one module and one entry point, as pip would."""
    packages = tmp_path / "packages"
    metadata = packages / "pixerve_bmp-1.0.dist-info"
    metadata.mkdir(parents=True)
    (packages / "pixerve_bmp.py").write_text(BMP)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: pixerve-bmp\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[pixerve.encoders]\nbmp = pixerve_bmp:Bmp\n")
    monkeypatch.syspath_prepend(packages)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    registry.forget()
    yield
    registry.forget()


def test_the_built_in_formats() -> None:
    assert registry.names()[:6] == ("jpg", "png", "webp", "avif", "gif", "tiff")
    assert registry.canonical("jpeg") == "jpg"
    assert registry.canonical("webp") == "webp"
    assert registry.canonical("exe") is None
    assert registry.canonical("original") is None
    assert registry.extension("jpg") == "jpg"
    assert registry.media_type("avif") == "image/avif"
    assert {name: registry.settings_of(name) for name in registry.names()[:6]} == {
        "jpg": {"quality", "speed", "progressive", "subsampling"},
        "png": {"speed", "colors"},
        "webp": {"quality", "speed", "lossless"},
        "avif": {"quality", "speed", "subsampling"},
        "gif": {"colors"},
        "tiff": {"speed"},
    }


def test_asking_loads_no_native_code() -> None:
    code = (
        "import sys; from encoders import registry, converter, probe, limits; registry.names(); "
        "[registry.settings_of(n) for n in registry.names()]; registry.canonical('jpeg'); "
        "sys.exit(bool({'PIL', 'wand', 'django'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=IMAGES.parent.parent)


@pytest.mark.usefixtures("bmp")
def test_a_new_format_is_one_file(converter: Converter, tmp_path: Path) -> None:
    assert registry.names()[-1] == "bmp"
    assert registry.media_type("bmp") == "image/bmp"
    variant = Variant("out.bmp", "bmp", Look((50, 50)), asked=("quality",))
    outcome = converter.convert(Plan(IMAGES / "pil_hopper.jpg", tmp_path, (variant,)))
    assert [notice.code for notice in outcome.warnings] == ["setting_ignored"]
    with Image.open(tmp_path / "out.bmp") as image:
        assert (image.format, image.size) == ("BMP", (50, 50))


@pytest.mark.usefixtures("bmp")
def test_an_encoder_that_raises_fails_the_job(converter: Converter, tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="thirteen is unlucky") as caught:
        converter.convert(plan(IMAGES / "pil_hopper.jpg", tmp_path, "bmp", quality=13))
    assert caught.value.code == "encode_failed"
    assert not list(tmp_path.glob("*.part"))


def test_a_picture_too_wide_for_webp_is_refused_in_words(
    converter: Converter, tmp_path: Path
) -> None:
    Image.new("RGB", (16_384, 2)).save(tmp_path / "wide", "PNG")
    with pytest.raises(PictureError, match="16383 pixels") as caught:
        converter.convert(plan(tmp_path / "wide", tmp_path, "webp"))
    assert caught.value.code == "encode_failed"


@pytest.mark.parametrize("name", ["jpg", "webp", "avif"])
def test_more_quality_is_more_bytes(name: str, shared: Converter, tmp_path: Path) -> None:
    sizes = [_bytes(shared, tmp_path, name, quality=quality) for quality in (20, 50, 90)]
    assert sizes == sorted(sizes)
    assert sizes[0] * 2 < sizes[2]


@pytest.mark.parametrize("name", ["jpg", "png", "webp", "avif", "tiff"])
def test_speed_0_is_smaller_than_speed_10(name: str, shared: Converter, tmp_path: Path) -> None:
    sizes = [_bytes(shared, tmp_path, name, speed=speed) for speed in (0, 10)]
    assert sizes[0] < sizes[1]


def _bytes(converter: Converter, out_dir: Path, name: str, **settings: int) -> int:
    job = plan(IMAGES / "wil_people.jpg", out_dir, name, box=(300, 300), **settings)
    return converter.convert(job).renditions[0].bytes
