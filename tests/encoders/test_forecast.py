"""Predicted memory against what the child really used at its peak."""

import re
from pathlib import Path

import pytest
from PIL import Image

from encoders.converter import Converter
from encoders.errors import PictureError
from encoders.forecast import forecast
from encoders.header import Header
from encoders.limits import Limits
from encoders.look import Look
from encoders.plan import Plan, Settings, Variant
from encoders.probe import probe
from tests.encoders.pictures import IMAGES

MIB = 1 << 20
SIZE = (2400, 2000)
FAST = Settings(speed=10)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One photo of 4.8 megapixels in every kind of file."""
    folder = tmp_path_factory.mktemp("pictures")
    with Image.open(IMAGES / "imn_large.jpg") as photo:
        rgb = photo.convert("RGB").resize(SIZE)
    rgba = rgb.convert("RGBA")
    rgba.putalpha(rgb.getchannel("R"))
    rgb.save(folder / "jpeg", "JPEG")
    rgb.save(folder / "progressive", "JPEG", progressive=True, subsampling=0)
    rgba.save(folder / "png", "PNG", compress_level=1)
    rgba.save(folder / "webp", "WEBP", lossless=True, method=0, quality=0)
    rgb.save(folder / "tiff", "TIFF")
    rgb.quantize(16).save(folder / "gif", "GIF")
    rgb.save(folder / "avif", "AVIF", speed=10)
    return {path.name: path for path in folder.iterdir()}


def peak_bytes(pid: int | None) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.M)
    assert found
    return int(found[1]) * 1024


@pytest.mark.parametrize(
    ("source", "variants"),
    [
        *((name, ("jpg",)) for name in ("progressive", "webp", "tiff", "gif", "avif")),
        *(("png", (name,)) for name in ("jpg", "png", "webp", "avif")),
        ("jpeg", ("jpg", "png", "webp")),
    ],
)
def test_a_conversion_stays_below_its_forecast(
    source: str,
    variants: tuple[str, ...],
    pictures: dict[str, Path],
    converter: Converter,
    tmp_path: Path,
) -> None:
    made = tuple(Variant(f"a.{name}", name, settings=FAST) for name in variants)
    plan = Plan(pictures[source], tmp_path, made)
    predicted = forecast(plan, probe(plan.source))
    outcome = converter.convert(plan)
    assert peak_bytes(converter.pid) <= predicted.memory_bytes
    assert predicted.memory_bytes <= 5 * peak_bytes(converter.pid)
    assert predicted.cpu_s <= outcome.timings["cpu"] / 1000


def need_of(header: Header, *variants: Variant, threads: int = 1) -> int:
    limits = Limits(threads=threads)
    return forecast(Plan(Path("s"), Path("o"), variants, limits), header).memory_bytes


def test_what_raises_and_lowers_the_forecast() -> None:
    header = Header("jpeg", 10_000, 10_000)
    small, native = Variant("a", "jpg", Look((800, 800))), Variant("b", "jpg")
    webp = Variant("c", "webp")
    assert need_of(header, Variant("o", "original")) < 100 * MIB
    assert need_of(header, small) < 800 * MIB < 2000 * MIB < need_of(header, native)
    assert need_of(header, small) < need_of(Header("png", 10_000, 10_000), small)
    assert need_of(header, native, webp) < need_of(header, native, webp, threads=2)
    big = Look((20_000, 20_000), enlarge=True)
    assert need_of(header, native) < need_of(header, Variant("a", "jpg", big))


def test_what_cannot_be_done_in_time_is_refused_before_it_is_begun() -> None:
    header = Header("png", 10_000, 10_000)
    slowest = tuple(Variant(f"{at}", "avif", settings=Settings(speed=0)) for at in range(8))
    limits = Limits(timeout_s=300)
    with pytest.raises(PictureError, match="300 s are allowed") as caught:
        forecast(Plan(Path("s"), Path("o"), slowest, limits), header)
    assert caught.value.code == "conversion_timeout"
    assert forecast(Plan(Path("s"), Path("o"), slowest[:1], limits), header).cpu_s > 50
