"""What a file says beside its pixels: colours, EXIF and XMP, as they stand in the file."""

from dataclasses import dataclass

EXIF_LIMIT = 1 << 20
XMP_LIMIT = 1 << 20
PROFILE_LIMIT = 4 << 20
"""Bytes. What is larger is not read at all; real profiles end at about 3 MiB."""


@dataclass(frozen=True)
class Blocks:
    """``profile`` is ICC, ``exif`` a TIFF structure without the prefix ``Exif\\0\\0``, ``xmp`` a
    packet. Nothing here is checked: each may be broken.
    """

    profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    gamma: float | None = None
    """PNG without a profile: the exponent from stored value to light (1 / gAMA)."""
    chromaticities: tuple[float, ...] | None = None
    """PNG without a profile: x and y of white, red, green and blue (cHRM)."""


NONE = Blocks()
