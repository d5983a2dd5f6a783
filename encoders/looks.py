"""From decoded frames to finished ones: every look of a plan, made from one decode."""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image as Pillow

from encoders.finish import finish
from encoders.geometry import Layout, Size, layout
from encoders.look import Base, Look
from encoders.plan import Notice
from encoders.pyramid import Pyramid
from encoders.trim import Box, content_box
from encoders.watermark import Watermarks

_FLIPS = {
    "horizontal": [Pillow.Transpose.FLIP_LEFT_RIGHT],
    "vertical": [Pillow.Transpose.FLIP_TOP_BOTTOM],
    "both": [Pillow.Transpose.ROTATE_180],
}
_TURNS = {
    90: Pillow.Transpose.ROTATE_270,
    180: Pillow.Transpose.ROTATE_180,
    270: Pillow.Transpose.ROTATE_90,
}
"""Degrees clockwise; Pillow counts the other way."""
_SIDEWAYS = frozenset({90, 270})


class Looks:
    """Makes the looks of a plan, frame by frame.

    ``size`` is that of the whole upright picture where frames may come smaller, because they were
    shrunk while they were decoded: what is made of them has the size that the whole would give.
    """

    def __init__(
        self,
        looks: Iterable[Look],
        profile: bytes | None,
        size: Size | None = None,
        fonts_dir: Path | None = None,
    ) -> None:
        self._looks = tuple(dict.fromkeys(looks))
        self._profile = profile
        self._size = size
        self._watermarks = Watermarks(fonts_dir)
        self._trims: dict[Base, Box | None] = {}
        self._notices: dict[Notice, None] = {}

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What a person should know of the looks made so far, each once."""
        return (*self._notices, *self._watermarks.notices)

    def of(self, image: Pillow.Image) -> dict[Look, Pillow.Image]:
        """Each look of one upright frame; the largest are made first. Raises PictureError."""
        pyramids = {base: self._pyramid(image, base) for base in {k.base for k in self._looks}}
        layouts = {look: _layout(pyramids[look.base].size, look) for look in self._looks}

        def whole(look: Look) -> Size:
            return layouts[look].whole(pyramids[look.base].size)

        made = {}
        for look in sorted(self._looks, key=whole, reverse=True):
            pyramid, plan = pyramids[look.base], layouts[look]
            made[look] = finish(pyramid.at(plan), plan, look, self._watermarks)
            if pyramid.notice:
                self._notices[pyramid.notice] = None
        return made

    def _pyramid(self, image: Pillow.Image, base: Base) -> Pyramid:
        rotate, flip, trim = base
        size = self._size or image.size
        steps = [_TURNS[rotate]] if rotate else []
        for step in [*steps, *_FLIPS.get(flip or "", [])]:
            image = image.transpose(step)
        if trim is None:
            return Pyramid(image, self._profile, _turned(size, rotate))
        image = image.crop(self._content(image, base, trim))
        return Pyramid(image, self._profile)

    def _content(self, image: Pillow.Image, base: Base, tolerance: int) -> Box | None:
        """What is left after the trim: of an animation, what the first frame says for all."""
        if base not in self._trims:
            self._trims[base] = content_box(image, tolerance)
            if self._trims[base] is None:
                message = "The whole picture has the colour of its border; it was not trimmed."
                self._notices[Notice("nothing_to_trim", message)] = None
        return self._trims[base]


def needed(size: Size, looks: Iterable[Look]) -> Size:
    """How large an upright picture of ``size`` must be decoded for all ``looks``: width, height."""
    wholes = []
    for look in looks:
        if look.trim is not None:
            return size
        turned = _turned(size, look.rotate)
        wholes.append(_turned(_layout(turned, look).whole(turned), look.rotate))
    return (
        min(size[0], max(each[0] for each in wholes)),
        min(size[1], max(each[1] for each in wholes)),
    )


def _turned(size: Size, degrees: int) -> Size:
    return size[::-1] if degrees in _SIDEWAYS else size


def _layout(size: Size, look: Look) -> Layout:
    return layout(size, look.box, look.fit, look.gravity, enlarge=look.enlarge)
