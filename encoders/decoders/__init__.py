"""One decoder per library. Each gives pixels as stored, or None where it is not the right one.

ImageMagick (``magick``) reads everything but AVIF. The others are there because they are measurably
better at one format, and hand every file that is not plain to ImageMagick: it knows what can be
forgiven, and names what cannot.
"""

from dataclasses import dataclass

from PIL.Image import Image

from encoders.blocks import NONE, Blocks


@dataclass(frozen=True)
class Decoded:
    """Pixels as stored (not turned), mode RGB, RGBA or CMYK, and what the file says beside them."""

    image: Image
    blocks: Blocks = NONE
    converted: bool = False
    """The decoder had to bring the colours to sRGB itself: what the file says of them is spent."""
    turn: int | None = None
    """The EXIF orientation that is left to be applied, if it is another than the header's."""
    doubtful: bool = False
    """The decoder had data left over: some of the pixels may be wrong."""
