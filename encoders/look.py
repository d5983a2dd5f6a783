"""What is done to the pixels of one output. Plain values: web processes read them too."""

from dataclasses import dataclass
from typing import Literal, get_args

from encoders.geometry import Size

Fit = Literal["inside", "outside", "cover", "contain", "fill"]
Gravity = Literal[
    "center",
    "north",
    "north-east",
    "east",
    "south-east",
    "south",
    "south-west",
    "west",
    "north-west",
]
Flip = Literal["horizontal", "vertical", "both"]
ColorProfile = Literal["srgb", "keep"]
Color = tuple[int, int, int, int]
"""Red, green, blue and opacity, 0 to 255 each."""

WHITE: Color = (255, 255, 255, 255)
Base = tuple[int, Flip | None, int | None]
"""Degrees, flip and trim: what is done to a picture before it is brought to its size."""
TURNS = (0, 90, 180, 270)
_FITS = frozenset(get_args(Fit))
_GRAVITIES = frozenset(get_args(Gravity))
MAX_TRIM = 255
MAX_SIGMA = 100.0


@dataclass(frozen=True)
class Watermark:
    """A line or a few of text on the picture; the text is data, nothing in it has a meaning.

    ``font`` is a name of ``encoders.typefaces``; ``size`` (of the font) and ``margin`` are pixels
    of the output; ``opacity`` runs from 0 to 1. A mark that does not fit between the margins is
    set smaller.
    """

    text: str
    font: str = "DejaVu Sans"
    size: int = 24
    color: Color = WHITE
    opacity: float = 0.5
    gravity: Gravity = "south-east"
    margin: int = 16


@dataclass(frozen=True)
class Look:
    """What is done to the pixels of one output, in this order:

    upright (EXIF) → ``rotate`` (degrees clockwise) → ``flip`` → ``trim`` (how far a channel may
    be from the corner's to be border, 0 to 255; None: no trim) → ``fit`` into ``box`` at
    ``gravity`` (None: native size; larger than native only with ``enlarge``) → sRGB, or as it
    came with ``color_profile`` "keep" → ``grayscale`` → ``blur`` and ``sharpen`` (sigma in
    pixels) → ``watermark``. ``background`` fills what "contain" leaves free, and lies under the
    transparency of formats that have none. Raises ValueError for a value out of range.
    """

    box: Size | None = None
    fit: Fit = "inside"
    gravity: Gravity = "center"
    enlarge: bool = False
    background: Color = WHITE
    rotate: int = 0
    flip: Flip | None = None
    trim: int | None = None
    sharpen: float | None = None
    blur: float | None = None
    grayscale: bool = False
    watermark: Watermark | None = None
    color_profile: ColorProfile = "srgb"

    def __post_init__(self) -> None:
        if self.box is not None and min(self.box) < 1:
            raise ValueError("a box must have sides of at least 1")
        if self.fit not in _FITS or self.gravity not in _GRAVITIES:
            raise ValueError("an unknown fit or gravity")
        if self.rotate not in TURNS:
            raise ValueError("a picture is turned by 0, 90, 180 or 270 degrees")
        if self.trim is not None and not 0 <= self.trim <= MAX_TRIM:
            raise ValueError("a trim tolerance is 0 to 255")
        for sigma in (self.sharpen, self.blur):
            if sigma is not None and not 0 < sigma <= MAX_SIGMA:
                raise ValueError("a sigma is more than 0 and at most 100")

    @property
    def base(self) -> Base:
        """What is done before the picture is brought to its size."""
        return self.rotate, self.flip, self.trim
