"""From decoded frames to finished ones: every look of a plan, made from one decode."""

from collections.abc import Iterable, Iterator

from PIL import Image as Pillow

from encoders.finish import finish
from encoders.geometry import Layout, Size, layout
from encoders.look import Look
from encoders.plan import Notice
from encoders.pyramid import Pyramid
from encoders.slack import NONE, Slack, transposed

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
    """Makes the looks of a plan, frame by frame.

    ``size`` is that of the upright picture, which may have been decoded smaller.
    """

    def __init__(
        self, looks: Iterable[Look], profile: bytes | None, size: Size, slack: Slack = NONE
    ) -> None:
        self._looks = tuple(dict.fromkeys(looks))
        self._profile = profile
        self._size = size
        self._slack = slack
        self.notices: list[Notice] = []

    def of(self, image: Pillow.Image) -> Iterator[tuple[Look, Pillow.Image]]:
        """Each look of one upright frame, the largest first, when it is asked for."""
        pyramids = {base: self._pyramid(image, base) for base in {k.base for k in self._looks}}
        layouts = {look: _layout(pyramids[look.base].size, look) for look in self._looks}
        for look in sorted(self._looks, key=lambda each: layouts[each].size, reverse=True):
            pyramid = pyramids[look.base]
            finished = finish(pyramid.at(layouts[look]), layouts[look], look)
            if pyramid.notice:
                self.notices.append(pyramid.notice)
            yield look, finished

    def _pyramid(self, image: Pillow.Image, base: tuple[int, str | None, int | None]) -> Pyramid:
        rotate, flip, _trim = base
        size = self._size[::-1] if rotate in {90, 270} else self._size
        slack = self._slack
        steps = [_TURNS[rotate]] if rotate else []
        for step in [*steps, *_FLIPS.get(flip or "", [])]:
            image = image.transpose(step)
            slack = transposed(slack, step)
        return Pyramid(image, self._profile, size, slack)


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
