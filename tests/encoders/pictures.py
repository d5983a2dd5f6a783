"""The set of real pictures, and small helpers to look at what was made of them."""

import csv
from pathlib import Path

from PIL import Image, ImageChops, ImageStat

from encoders.look import Look
from encoders.plan import Plan, Settings, Variant

IMAGES = Path(__file__).parent.parent / "images"
FORMATS = ("jpg", "png", "webp", "avif")

with (IMAGES / "manifest.csv").open(newline="") as _manifest:
    ROWS = list(csv.DictReader(_manifest))
OK = [row for row in ROWS if row["expected"] == "ok"]
REJECT = [row for row in ROWS if row["expected"] == "reject"]


def upright(row: dict[str, str]) -> tuple[int, int]:
    """The expected upright width and height of a row."""
    width, height = row["upright"].split("x")
    return int(width), int(height)


def plan(
    source: Path, out_dir: Path, *formats: str, box: tuple[int, int] | None = None, **settings: int
) -> Plan:
    """A plan that makes ``out.{format}`` for each format."""
    variants = tuple(
        Variant(f"out.{name}", name, Look(box), Settings(**settings)) for name in formats
    )
    return Plan(source, out_dir, variants)


def opened(path: Path, mode: str = "RGB") -> Image.Image:
    """The decoded pixels of a file, its metadata disregarded."""
    with Image.open(path) as image:
        return image.convert(mode)


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference over all channels, 0 to 255."""
    assert one.size == other.size
    means = ImageStat.Stat(ImageChops.difference(one, other)).mean
    return sum(means) / len(means)
