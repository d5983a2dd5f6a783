"""How large a rendition becomes. All sizes are (width, height) in pixels, upright."""

Size = tuple[int, int]

LEVEL_FACTOR = 1.5
"""A level serves a target if it is this much larger; nearer ones would be resampled twice."""


def fit(size: Size, box: Size | None) -> Size:
    """The largest size inside ``box`` with the ratio of ``size``; never larger than ``size``.

    Whole-number arithmetic, rounded to the nearest pixel, each side at least 1.
    """
    width, height = size
    if box is None or (width <= box[0] and height <= box[1]):
        return size
    if width * box[1] >= height * box[0]:
        return box[0], max(1, (2 * height * box[0] + width) // (2 * width))
    return max(1, (2 * width * box[1] + height) // (2 * height)), box[1]


def serves(level: Size, target: Size) -> bool:
    """Whether ``target`` may be made from ``level`` without visible loss."""
    return level[0] >= LEVEL_FACTOR * target[0] and level[1] >= LEVEL_FACTOR * target[1]
