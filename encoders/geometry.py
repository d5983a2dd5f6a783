"""Where the pixels of an output come from. All sizes are (width, height) in pixels, upright."""

from dataclasses import dataclass
from fractions import Fraction

Size = tuple[int, int]
Area = tuple[float, float, float, float]
"""Left, top, right, bottom; pixels of the picture it is cut from."""

LEVEL_FACTOR = 1.5
"""A level serves a target if it is this much larger; nearer ones would be resampled twice."""

_ALONG = {"west": 0, "east": 2}
_DOWN = {"north": 0, "south": 2}


@dataclass(frozen=True)
class Layout:
    """``crop`` of the picture (None: all of it) is brought to ``size``, and that is laid at
    ``offset`` on a canvas (the same size, except where "contain" leaves a margin)."""

    crop: Area | None
    size: Size
    canvas: Size
    offset: tuple[int, int] = (0, 0)

    def whole(self, picture: Size) -> Size:
        """The size that all of ``picture`` would have at this scale, rounded up."""
        if self.crop is None:
            return self.size
        left, top, right, bottom = self.crop
        return (
            -int(-picture[0] * self.size[0] // (right - left)),
            -int(-picture[1] * self.size[1] // (bottom - top)),
        )


def layout(size: Size, box: Size | None, fit: str, gravity: str, *, enlarge: bool) -> Layout:
    """How a picture of ``size`` is brought into ``box`` (None: it keeps its size).

    ``fit`` is one of ``encoders.look.Fit``: "inside" and "outside" keep the ratio and give one
    side of the box; "cover" fills the box and cuts, "contain" fills it with a margin, both at
    ``gravity``; "fill" stretches. Without ``enlarge`` no pixel is made larger than it came: then
    "outside", "cover" and "fill" may end smaller than the box.
    """
    if box is None:
        return Layout(None, size, size)
    if fit == "fill":
        given = box if enlarge else (min(box[0], size[0]), min(box[1], size[1]))
        return Layout(None, given, given)
    if fit == "cover":
        return _cover(size, box, gravity, enlarge=enlarge)
    scaled = _scaled(size, _scale(size, box, largest=fit == "outside", enlarge=enlarge))
    if fit == "contain":
        return Layout(None, scaled, box, place(scaled, box, gravity))
    return Layout(None, scaled, scaled)


def place(inner: Size, outer: Size, gravity: str, margin: int = 0) -> tuple[int, int]:
    """Left and top of ``inner`` in ``outer``; the margin is kept to the sides it leans on."""
    towards = gravity.split("-")
    along = next((_ALONG[word] for word in towards if word in _ALONG), 1)
    down = next((_DOWN[word] for word in towards if word in _DOWN), 1)
    return (
        (outer[0] - inner[0]) * along // 2 + margin * (1 - along),
        (outer[1] - inner[1]) * down // 2 + margin * (1 - down),
    )


def serves(level: Size, target: Size) -> bool:
    """Whether ``target`` may be made from ``level`` without visible loss."""
    return level[0] >= LEVEL_FACTOR * target[0] and level[1] >= LEVEL_FACTOR * target[1]


def _scale(size: Size, box: Size, *, largest: bool, enlarge: bool) -> Fraction:
    scales = [Fraction(box[side], size[side]) for side in (0, 1)]
    scale = max(scales) if largest else min(scales)
    return scale if enlarge else min(scale, Fraction(1))


def _scaled(size: Size, scale: Fraction) -> Size:
    """Rounded to the nearest pixel, half up, each side at least 1."""
    width, height = (max(1, int(side * scale + Fraction(1, 2))) for side in size)
    return width, height


def _cover(size: Size, box: Size, gravity: str, *, enlarge: bool) -> Layout:
    scale = _scale(size, box, largest=True, enlarge=enlarge)
    scaled = _scaled(size, scale)
    given = min(box[0], scaled[0]), min(box[1], scaled[1])
    if given == scaled:
        return Layout(None, given, given)
    left, top = place(given, scaled, gravity)
    across, down = Fraction(size[0], scaled[0]), Fraction(size[1], scaled[1])
    crop = (
        float(left * across),
        float(top * down),
        float((left + given[0]) * across),
        float((top + given[1]) * down),
    )
    return Layout(crop, given, given)
