"""What a JPEG decoded at a fraction of its size has too much.

libjpeg rounds the scaled size up: 3266 x 1837 pixels at 1/4 come as 817 x 460, of which the picture
covers 816.5 x 459.25. Taken for the whole, they would be stretched and moved by up to a pixel
(measured: SSIM 0.85 instead of 0.97 at 800 pixels).
"""

import math

from PIL.Image import Transpose

from encoders.geometry import Area, Size

Slack = tuple[float, float, float, float]
"""How many pixels at the left, top, right and bottom lie beyond the picture; each 0 to 1."""

NONE: Slack = (0.0, 0.0, 0.0, 0.0)

_EIGHTHS = range(8, 0, -1)
_FROM = {
    Transpose.FLIP_LEFT_RIGHT: (2, 1, 0, 3),
    Transpose.FLIP_TOP_BOTTOM: (0, 3, 2, 1),
    Transpose.ROTATE_90: (1, 2, 3, 0),
    Transpose.ROTATE_180: (2, 3, 0, 1),
    Transpose.ROTATE_270: (3, 0, 1, 2),
    Transpose.TRANSPOSE: (1, 0, 3, 2),
    Transpose.TRANSVERSE: (3, 2, 1, 0),
}
"""Which side each side was before; Pillow's turns are counter-clockwise."""


def of_scaled(stored: Size, decoded: Size) -> Slack:
    """The slack of a picture of ``stored`` pixels that libjpeg delivered as ``decoded``."""
    for eighths in _EIGHTHS:
        across, down = (side * eighths / 8 for side in stored)
        if decoded == (math.ceil(across), math.ceil(down)):
            return 0.0, 0.0, decoded[0] - across, decoded[1] - down
    return NONE


def transposed(slack: Slack, step: Transpose) -> Slack:
    """The slack of the picture after ``step``."""
    left, top, right, bottom = _FROM[step]
    return slack[left], slack[top], slack[right], slack[bottom]


def inner(size: Size, slack: Slack) -> Area:
    """The part of ``size`` decoded pixels that the picture covers."""
    left, top, right, bottom = slack
    return left, top, size[0] - right, size[1] - bottom
