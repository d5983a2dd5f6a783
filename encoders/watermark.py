"""Text on a picture. The text is drawn as it is: nothing in it has a meaning.

Pillow draws with FreeType, from a font that is already in memory. Where the system has FriBiDi, it
is laid out by Raqm and HarfBuzz, so that Arabic joins and Hebrew runs from right to left.
"""

import bisect
import io
import math
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont, features

from encoders import sfnt, typefaces
from encoders.errors import PictureError
from encoders.geometry import Size, place
from encoders.look import Watermark
from encoders.plan import Notice
from encoders.sfnt import Face

_LARGEST_SHARE = 4
"""The margin is at most this part of the shorter side, so that there is room for the text."""
_INVISIBLE = frozenset({"Cf", "Mn", "Me", "Zs", "Cc"})
"""Unicode categories that a font may lack: joiners, marks (HarfBuzz composes them), blanks."""
_SIDES = {"west": "left", "east": "right"}
_NEEDS_LAYOUT = frozenset({"R", "AL", "AN", "NSM"})
"""Bidirectional classes of Unicode: letters that run from the right, and marks on others."""
_LEADING = 4
"""This part of the font's size is left free between lines."""
_OPAQUE = 255
_SHOWN_CHARACTERS = 10


@dataclass(frozen=True)
class _Stamp:
    """Where a mark lies, and how much of it covers each pixel there (mode L)."""

    at: tuple[int, int]
    cover: Pillow.Image


class Watermarks:
    """Draws marks; one is laid out once for each size of picture, however many frames there are."""

    def __init__(self, fonts_dir: Path | None) -> None:
        self._fonts_dir = fonts_dir
        self._stamps: dict[tuple[Watermark, Size], _Stamp] = {}
        self.notices: dict[Notice, None] = {}

    def on(self, image: Pillow.Image, mark: Watermark) -> Pillow.Image:
        """A copy of ``image`` (mode RGB or RGBA) with the mark. Raises PictureError."""
        key = mark, image.size
        if key not in self._stamps:
            self._stamps[key] = self._stamp(mark, image.size)
        return _stamped(image, self._stamps[key], mark)

    def _stamp(self, mark: Watermark, size: Size) -> _Stamp:
        face = typefaces.face_of(mark.font, self._fonts_dir)
        missing = missing_glyphs(mark.text, face)
        if missing:
            shown = " ".join(missing[:_SHOWN_CHARACTERS])
            message = f"The font {mark.font} has no glyph for: {shown}"
            self.notices[Notice("glyph_missing", message)] = None
        if needs_layout(mark.text) and not features.check("raqm"):
            message = "This server cannot lay out such text (FriBiDi is missing): it is not joined."
            self.notices[Notice("text_not_shaped", message)] = None
        margin = min(mark.margin, min(size) // _LARGEST_SHARE)
        points = _fitting(mark, face, (size[0] - 2 * margin, size[1] - 2 * margin))
        if points < mark.size:
            message = "The watermark is larger than an output; there it was made smaller."
            self.notices[Notice("watermark_shrunk", message)] = None
        cover = drawn(mark.text, face, points, mark.gravity)
        return _Stamp(place(cover.size, size, mark.gravity, margin), cover)


def missing_glyphs(text: str, face: Face) -> list[str]:
    """Visible characters of ``text`` that the font cannot draw, each once."""
    try:
        glyph = sfnt.glyphs(face)
    except (OSError, ValueError):
        return []
    if glyph is None:
        return []
    visible = dict.fromkeys(
        sign
        for sign in unicodedata.normalize("NFC", text)
        if unicodedata.category(sign) not in _INVISIBLE
    )
    return [sign for sign in visible if not glyph(ord(sign))]


def needs_layout(text: str) -> bool:
    """Whether letters must be joined, stacked or reordered to read the text."""
    return any(unicodedata.bidirectional(sign) in _NEEDS_LAYOUT for sign in text)


def drawn(text: str, face: Face, points: int, gravity: str) -> Pillow.Image:
    """The ink of ``text``, cut to its bounds, mode L: 0 where there is none, to 255.

    ``points`` is the size of the font in pixels. Lines lean to the side that ``gravity`` names.
    """
    setting = _Setting(text, _font(face, points), points // _LEADING, _align(gravity))
    left, top, right, bottom = setting.bounds()
    page = Pillow.new("L", (max(1, right - left), max(1, bottom - top)))
    setting.draw(page, (-left, -top))
    # What FreeType measures counts blank room after the last letter, too.
    return page.crop(page.getbbox())


@dataclass(frozen=True)
class _Setting:
    """Lines of text in a font of one size."""

    text: str
    font: ImageFont.FreeTypeFont
    spacing: int
    align: str

    def bounds(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom around the ink, of text that begins at 0, 0."""
        measure = ImageDraw.Draw(Pillow.new("L", (1, 1)))
        left, top, right, bottom = measure.multiline_textbbox(
            (0, 0), self.text, font=self.font, spacing=self.spacing, align=self.align
        )
        return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)

    def draw(self, page: Pillow.Image, at: tuple[int, int]) -> None:
        ImageDraw.Draw(page).multiline_text(
            at, self.text, _OPAQUE, font=self.font, spacing=self.spacing, align=self.align
        )


def _align(gravity: str) -> str:
    return next((side for way, side in _SIDES.items() if way in gravity), "center")


def _fitting(mark: Watermark, face: Face, room: Size) -> int:
    """The largest size of the font up to the wished one at which the text fits into ``room``."""
    align = _align(mark.gravity)

    def fits(points: int) -> bool:
        setting = _Setting(mark.text, _font(face, points), points // _LEADING, align)
        left, top, right, bottom = setting.bounds()
        return right - left <= room[0] and bottom - top <= room[1]

    if fits(mark.size):
        return mark.size
    # The largest that fits is one less than the first that does not.
    return max(1, bisect.bisect_left(range(mark.size), True, lo=1, key=lambda at: not fits(at)) - 1)


@lru_cache(maxsize=4)
def _font(face: Face, points: int) -> ImageFont.FreeTypeFont:
    try:
        return ImageFont.truetype(io.BytesIO(_bytes_of(face.path)), points, face.number)
    except OSError as error:
        message = "The font of the watermark cannot be used; it is missing or broken."
        raise PictureError("font_unavailable", message) from error


@lru_cache(maxsize=2)
def _bytes_of(path: Path) -> bytes:
    return path.read_bytes()


def _stamped(image: Pillow.Image, stamp: _Stamp, mark: Watermark) -> Pillow.Image:
    """Colour over picture, as much as ink, opacity and the colour's own opacity let through."""
    made = image.copy()
    area, cover = _inside(stamp, image.size)
    red, green, blue, alpha = mark.color
    strength = mark.opacity * alpha / _OPAQUE
    cover = cover.point([round(value * strength) for value in range(256)])
    if image.mode == "RGB":
        made.paste((red, green, blue), area, cover)
        return made
    part = made.crop(area)
    ink = Pillow.new("RGBA", part.size, mark.color)
    ink.putalpha(cover)
    part.alpha_composite(ink)
    made.paste(part, area)
    return made


def _inside(stamp: _Stamp, size: Size) -> tuple[tuple[int, int, int, int], Pillow.Image]:
    """The stamp's area (left, top, right, bottom) and its cover, without what the picture is too
    tiny for."""
    (left, top), cover = stamp.at, stamp.cover
    right, bottom = min(size[0], left + cover.width), min(size[1], top + cover.height)
    area = max(0, left), max(0, top), right, bottom
    return area, cover.crop((area[0] - left, area[1] - top, right - left, bottom - top))
