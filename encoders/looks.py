"""From decoded frames to finished ones: every look of a plan, made from one decode."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image as Pillow

from encoders.finish import finish
from encoders.geometry import Layout, Size, layout
from encoders.look import Base, ColorProfile, Look
from encoders.plan import Notice
from encoders.pyramid import Pyramid
from encoders.slack import NONE, Slack, transposed
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

    ``size`` is that of the upright picture. Frames may come smaller, because they were shrunk while
    they were decoded, and with ``slack``; what is made of them has the size that the whole would
    give.
    """

    def __init__(
        self,
        looks: Iterable[Look],
        profile: bytes | None,
        size: Size,
        slack: Slack = NONE,
        fonts_dir: Path | None = None,
    ) -> None:
        self._looks = tuple(dict.fromkeys(looks))
        self._profile = profile
        self._size = size
        self._slack = slack
        self._watermarks = Watermarks(fonts_dir)
        self._trims: dict[Base, Box | None] = {}
        self._notices: dict[Notice, None] = {}

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What a person should know of the looks made so far, each once."""
        return (*self._notices, *self._watermarks.notices)

    def of(self, image: Pillow.Image) -> Iterator[tuple[Look, Pillow.Image]]:
        """Each look of one upright frame, the largest first, made when it is asked for.

        Raises PictureError.
        """
        pyramids = {key: self._pyramid(image, *key) for key in {_key(k) for k in self._looks}}
        layouts = {look: _layout(pyramids[_key(look)].size, look) for look in self._looks}

        def whole(look: Look) -> Size:
            return layouts[look].whole(pyramids[_key(look)].size)

        for look in sorted(self._looks, key=whole, reverse=True):
            pyramid, plan = pyramids[_key(look)], layouts[look]
            finished = finish(pyramid.at(plan), plan, look, self._watermarks)
            if pyramid.notice:
                self._notices[pyramid.notice] = None
            yield look, finished

    def _pyramid(self, image: Pillow.Image, base: Base, colors: ColorProfile) -> Pyramid:
        rotate, flip, trim = base
        profile = None if colors == "keep" else self._profile
        slack = self._slack
        steps = [_TURNS[rotate]] if rotate else []
        for step in [*steps, *_FLIPS.get(flip or "", [])]:
            image = image.transpose(step)
            slack = transposed(slack, step)
        if trim is None:
            return Pyramid(image, profile, _turned(self._size, rotate), slack)
        # Nothing was shrunk for a look with a trim: see `needed`.
        return Pyramid(image.crop(self._content(image, base, trim)), profile)

    def _content(self, image: Pillow.Image, base: Base, tolerance: int) -> Box | None:
        """What is left after the trim: of an animation, what the first frame says for all."""
        if base not in self._trims:
            self._trims[base] = content_box(image, tolerance)
            if self._trims[base] is None:
                message = "The whole picture has the colour of its border; it was not trimmed."
                self._notices[Notice("nothing_to_trim", message)] = None
        return self._trims[base]


def _key(look: Look) -> tuple[Base, ColorProfile]:
    """Looks that share it share a pyramid."""
    return look.base, look.color_profile


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
