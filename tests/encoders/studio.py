"""Pictures with marked corners, and a studio to make looks of them."""

from pathlib import Path
from typing import Any

from PIL import Image

from encoders.converter import Converter
from encoders.look import Look
from encoders.plan import Outcome, Plan, Variant
from tests.encoders.pictures import opened

RED, GREEN, BLUE, GOLD = (200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30)
GRAVITIES = {
    "north-west": (0, 0),
    "north": (1, 0),
    "north-east": (2, 0),
    "west": (0, 1),
    "center": (1, 1),
    "east": (2, 1),
    "south-west": (0, 2),
    "south": (1, 2),
    "south-east": (2, 2),
}
"""Gravity -> which third, across and down."""


def nine() -> Image.Image:
    """90 x 90: nine fields of 30 x 30, each of a colour of its own."""
    picture = Image.new("RGB", (90, 90))
    for column, row in GRAVITIES.values():
        picture.paste((40 + 80 * column, 40 + 80 * row, 128), (30 * column, 30 * row, 90, 90))
    return picture


def corners(size: tuple[int, int] = (96, 48)) -> Image.Image:
    """Four quarters: red, green above; blue, gold below."""
    width, height = size
    picture = Image.new("RGB", size, GOLD)
    picture.paste(RED, (0, 0, width // 2, height // 2))
    picture.paste(GREEN, (width // 2, 0, width, height // 2))
    picture.paste(BLUE, (0, height // 2, width // 2, height))
    return picture


class Studio:
    """Converts one picture into looks, and opens what was made."""

    def __init__(self, converter: Converter, folder: Path) -> None:
        self._converter = converter
        self._folder = folder
        self.fonts_dir: Path | None = None
        self.outcome: Outcome | None = None

    def make(
        self, source: Image.Image | Path, *looks: Look, name: str = "png", **saving: Any
    ) -> list[Image.Image]:
        if isinstance(source, Image.Image):
            path = self._folder / "source"
            source.save(path, saving.pop("kind", "PNG"), **saving)
            source = path
        variants = tuple(Variant(f"{index}.{name}", name, look) for index, look in enumerate(looks))
        self.outcome = self._converter.convert(
            Plan(source, self._folder, variants, fonts_dir=self.fonts_dir)
        )
        found = []
        for variant in variants:
            with Image.open(self._folder / variant.name) as image:
                mode = "RGBA" if image.has_transparency_data else "RGB"
            found.append(opened(self._folder / variant.name, mode))
        return found

    @property
    def warnings(self) -> list[str]:
        assert self.outcome is not None
        return [notice.code for notice in self.outcome.warnings]
