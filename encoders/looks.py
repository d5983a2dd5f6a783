"""From decoded frames to finished ones: every look of a plan, made from one decode."""

from collections.abc import Iterable

from PIL import Image as Pillow

from encoders.finish import finish
from encoders.geometry import Layout, Size, layout
from encoders.look import Look
from encoders.plan import Notice
from encoders.pyramid import Pyramid

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


class Looks:
    """Makes the looks of a plan, frame by frame."""

    def __init__(
        self, looks: Iterable[Look], profile: bytes | None, size: Size | None = None
    ) -> None:
        """``size`` is the picture's own upright one, if frames may have been shrunk on load."""
        self._size = size
        self._looks = tuple(dict.fromkeys(looks))
        self._profile = profile
        self.notices: list[Notice] = []

    def of(self, image: Pillow.Image) -> dict[Look, Pillow.Image]:
        """Each look of one upright frame; the largest are made first."""
        bases = {_base(look): look for look in self._looks}
        pyramids = {base: self._pyramid(image, look) for base, look in bases.items()}
        layouts = {look: _layout(pyramids[_base(look)].size, look) for look in self._looks}
        made = {}
        for look in sorted(self._looks, key=lambda each: layouts[each].size, reverse=True):
            pyramid = pyramids[_base(look)]
            made[look] = finish(pyramid.at(layouts[look]), layouts[look], look)
            if pyramid.notice:
                self.notices.append(pyramid.notice)
        return made

    def _pyramid(self, image: Pillow.Image, look: Look) -> Pyramid:
        rotate, flip, _trim = look.base
        steps = [_TURNS[rotate]] if rotate else []
        for step in [*steps, *_FLIPS.get(flip or "", [])]:
            image = image.transpose(step)
        size = self._size[::-1] if self._size and rotate in {90, 270} else self._size
        return Pyramid(image, None if look.color_profile == "keep" else self._profile, size)


def _base(look: Look) -> tuple[object, ...]:
    """Looks of one base share a pyramid."""
    return *look.base, look.color_profile


def needed(size: Size, looks: Iterable[Look]) -> Size:
    """How large an upright picture of ``size`` must be decoded for all ``looks``: width, height."""
    wholes = []
    for look in looks:
        if look.trim is not None:
            return size
        turned = size[::-1] if look.rotate in {90, 270} else size
        whole = _layout(turned, look).whole(turned)
        wholes.append(whole[::-1] if look.rotate in {90, 270} else whole)
    return (
        min(size[0], max(each[0] for each in wholes)),
        min(size[1], max(each[1] for each in wholes)),
    )


def _layout(size: Size, look: Look) -> Layout:
    return layout(size, look.box, look.fit, look.gravity, enlarge=look.enlarge)
