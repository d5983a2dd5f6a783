"""Makes docs/images/options/*.jpg, the pictures of "What a token can ask for" in api.md.

    .venv/bin/python -m docs.make_pictures

Each cell is what the engine makes of the words below it, so that no picture can promise what the
engine does not do. The photos are of tests/images (see LICENCES.md there).
"""

import json
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from PIL import Image, ImageDraw, ImageFont, ImageOps

from encoders.converter import Converter
from encoders.plan import Plan, Variant
from encoders.typefaces import BUNDLED
from pixerve_site.config import Config

ROOT = Path(__file__).parent
IMAGES = ROOT.parent / "tests" / "images"
CAT = IMAGES / "img_cat.jpg"
ROAD = IMAGES / "imn_large.jpg"
CHART = IMAGES / "wil_colorchecker_ECI_RGB_v2.jpg"
SMALL = IMAGES / "pil_hopper.jpg"
LETTERS = "letters"
"""Drawn here: red on blue, what coarse colour does most harm to."""
PAD = 14
CAPTION = ImageFont.truetype(str(BUNDLED / "DejaVuSansMono.ttf"), 12)
LINE = 16
Wish = dict[str, Any]


def marked(**changes: Any) -> Wish:
    return {"box": [240, 135], "watermark": {"text": "© Ann Example", "size": 18, **changes}}


SHEETS: dict[str, tuple[Path, int, tuple[int, int], list[Wish]]] = {
    # name: photo, columns, size of a cell, what is asked for
    "fit": (
        CAT,
        5,
        (180, 180),
        [{"box": [160, 160], "fit": fit} for fit in ("inside", "cover", "contain", "fill")]
        + [{"box": [120, 120], "fit": "outside"}],
    ),
    "gravity": (
        CAT,
        6,
        (150, 150),
        [
            {"box": box, "fit": "cover", "gravity": gravity}
            for box, ways in (
                ([150, 60], ("north", "center", "south")),
                ([60, 150], ("west", "center", "east")),
            )
            for gravity in ways
        ],
    ),
    "contain": (
        CAT,
        4,
        (200, 130),
        [
            {"box": [190, 120], "fit": "contain", "gravity": "west"},
            {"box": [190, 120], "fit": "contain", "background": "#1f6f8b"},
            {"box": [190, 120], "fit": "contain", "background": "transparent"},
            {"box": [190, 120], "fit": "contain", "background": "#1f6f8b80"},
        ],
    ),
    "turn": (
        CAT,
        4,
        (180, 180),
        [{"box": [170, 170]}]
        + [{"box": [170, 170], "rotate": degrees} for degrees in (90, 180, 270)]
        + [{"box": [170, 170], "flip": way} for way in ("horizontal", "vertical", "both")],
    ),
    "effects": (
        CAT,
        3,
        (250, 190),
        [
            {"box": [240, 180]},
            {"box": [240, 180], "sharpen": 1},
            {"box": [240, 180], "sharpen": 3},
            {"box": [240, 180], "blur": 1},
            {"box": [240, 180], "blur": 4},
            {"box": [240, 180], "grayscale": True},
        ],
    ),
    "enlarge": (
        SMALL,
        2,
        (210, 210),
        [{"box": [200, 200]}, {"box": [200, 200], "enlarge": True}],
    ),
    "color-profile": (
        CHART,
        2,
        (250, 180),
        [{"box": [240, 170]}, {"box": [240, 170], "colorProfile": "keep"}],
    ),
    "watermark": (
        ROAD,
        3,
        (250, 145),
        [
            marked(),
            marked(opacity=1, color="#ffd166", gravity="north-west"),
            marked(font="DejaVu Serif", gravity="center", margin=0),
            marked(text="© Ann Example\nall rights reserved", size=14, gravity="south"),
            marked(text="שלום · العربية", opacity=0.9, gravity="north"),
            marked(text="@/etc/passwd %[fx:1] <b>", size=14, opacity=0.9, gravity="west"),
        ],
    ),
}

ZOOM = 2
ZOOMED: dict[str, tuple[Path | str, int, list[tuple[str, Wish]]]] = {
    # name: photo, columns, format and settings of each cell; pixels are shown twice as large
    "quality": (
        SMALL,
        3,
        [(kind, {"quality": quality}) for kind in ("jpg", "avif") for quality in (15, 50, 80)],
    ),
    "subsampling": (
        LETTERS,
        3,
        [("jpg", {"subsampling": kept}) for kept in ("4:2:0", "4:2:2", "4:4:4")],
    ),
    "lossless": (LETTERS, 2, [("webp", {}), ("webp", {"lossless": True})]),
    "colors": (SMALL, 3, [("png", {"colors": 4}), ("png", {"colors": 16}), ("png", {})]),
}


def made(
    photo: Path, wishes: list[Wish], format_name: str = "png", how: Wish | None = None
) -> Iterator[Image.Image]:
    """What the engine makes of each wish: by way of the rules for tokens."""
    from jobs.spec import parse  # noqa: PLC0415 - the rules read the settings

    named = [{**wish, "name": str(index)} for index, wish in enumerate(wishes)]
    wanted = {"settings": how or {}, "sizes": named}
    spec = parse({"formats": {format_name: wanted}, "directHost": True})
    settings = spec.formats[format_name].settings.encoding()
    converter = Converter()
    with tempfile.TemporaryDirectory() as folder:
        variants = tuple(
            Variant(f"{output.name}.{format_name}", format_name, output.look, settings)
            for output in spec.formats[format_name].outputs
        )
        try:
            converter.convert(Plan(photo, Path(folder), variants))
        finally:
            converter.close()
        for variant in variants:
            with Image.open(Path(folder) / variant.name) as image:
                yield image.convert("RGBA")


def framed(photo: Path, folder: Path) -> Path:
    """The photo with a border that trim can take away."""
    path = folder / "framed.png"
    with Image.open(photo) as image:
        ImageOps.expand(image, (60, 30, 20, 50), "#e8e4da").save(path)
    return path


def letters(folder: Path) -> Path:
    path = folder / "letters.png"
    picture = Image.new("RGB", (80, 48), "#2038c8")
    font = ImageFont.truetype(str(BUNDLED / "DejaVuSans-Bold.ttf"), 20)
    ImageDraw.Draw(picture).multiline_text((6, 1), "Sharp\nedges", "#ff2020", font, spacing=0)
    picture.save(path)
    return path


def zoomed(photo: Path, cells: list[tuple[str, Wish]]) -> Iterator[tuple[Wish, Image.Image]]:
    """What a format with these settings makes of the photo, with pixels that can be seen."""
    for kind, how in cells:
        [image] = made(photo, [{"box": [80, 80]}], kind, how)
        size = image.width * ZOOM, image.height * ZOOM
        yield {kind: {"settings": how}}, image.resize(size, Image.Resampling.NEAREST)


def words(wish: Wish, width: int) -> list[str]:
    text = json.dumps(wish, ensure_ascii=False)
    return textwrap.wrap(text.replace("שלום · العربية", "…"), width // 8, break_on_hyphens=False)


def checkers(size: tuple[int, int]) -> Image.Image:
    """What shines through transparency."""
    board = Image.new("RGB", size, "#ffffff")
    draw = ImageDraw.Draw(board)
    for left in range(0, size[0], 8):
        for top in range((left // 8) % 2 * 8, size[1], 16):
            draw.rectangle((left, top, left + 7, top + 7), fill="#d9d9d9")
    return board


def sheet(
    cells: list[tuple[Wish, Image.Image]], columns: int, cell: tuple[int, int]
) -> Image.Image:
    lines = max(len(words(wish, cell[0])) for wish, _ in cells)
    step = cell[0] + PAD, cell[1] + PAD + lines * LINE
    rows = -(-len(cells) // columns)
    page = Image.new("RGB", (columns * step[0] + PAD, rows * step[1] + PAD), "#f4f4f4")
    for index, (wish, image) in enumerate(cells):
        left, top = PAD + index % columns * step[0], PAD + index // columns * step[1]
        ground = checkers(image.size)
        ground.paste(image, mask=image)
        at = left + (cell[0] - image.width) // 2, top + (cell[1] - image.height) // 2
        page.paste(ground, at)
        if "box" in wish:
            _outline(page, wish, (left, top), cell)
        caption = "\n".join(words(wish, cell[0]))
        ImageDraw.Draw(page).multiline_text((left, top + cell[1] + 4), caption, "#222", CAPTION)
    return page


def _outline(page: Image.Image, wish: Wish, at: tuple[int, int], cell: tuple[int, int]) -> None:
    """The box that was asked for, in red where the picture does not fill it."""
    width, height = wish["box"]
    left, top = at[0] + (cell[0] - width) // 2, at[1] + (cell[1] - height) // 2
    ImageDraw.Draw(page).rectangle((left - 1, top - 1, left + width, top + height), outline="#d33")


def main() -> None:
    settings.configure(PIXERVE=Config())
    target = ROOT / "images" / "options"
    target.mkdir(parents=True, exist_ok=True)
    for name, (photo, columns, cell, wishes) in SHEETS.items():
        cells = list(zip(wishes, made(photo, wishes), strict=True))
        sheet(cells, columns, cell).save(target / f"{name}.jpg", quality=82, subsampling=0)
    with tempfile.TemporaryDirectory() as folder:
        wishes = [{"box": [230, 160]}, {"box": [230, 160], "trim": True}]
        photo = framed(CAT, Path(folder))
        cells = list(zip(wishes, made(photo, wishes), strict=True))
        sheet(cells, 2, (240, 170)).save(target / "trim.jpg", quality=82, subsampling=0)
        for name, (source, columns, wanted) in ZOOMED.items():
            path = letters(Path(folder)) if isinstance(source, str) else source
            found = list(zoomed(path, wanted))
            cell = (max(image.width for _, image in found), max(i.height for _, i in found))
            sheet(found, columns, cell).save(target / f"{name}.jpg", quality=75, subsampling=0)


if __name__ == "__main__":
    main()
