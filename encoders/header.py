"""The facts of a picture's header."""

from dataclasses import dataclass

from encoders.exif import SIDEWAYS, UPRIGHT

UNSPECIFIED = 2
"""Code point of ITU-T H.273 for colour primaries or a transfer that are not given."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself before any pixel is decoded.

    ``width`` and ``height`` are in pixels, as stored; ``orientation`` (EXIF, 1 to 8) says how the
    picture is to be turned. AVIF and HEIC turn in the container, which their decoders obey: there
    the sizes are upright already and ``orientation`` is 1.
    """

    format: str
    width: int
    height: int
    frames: int = 1
    orientation: int = UPRIGHT
    has_alpha: bool = False
    """The file has transparency that its decoder may drop (HEIC)."""
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    """What the container says of the colours (nclx, cICP), in the code points of ITU-T H.273."""
    gain_map: bool = False
    """A second picture says how to make this one HDR (Ultra HDR, ISO 21496-1, Apple)."""
    one_scan: bool = False
    """All of a JPEG's pixels are in one scan, as its first scan says."""

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as a viewer sees them."""
        if self.orientation in SIDEWAYS:
            return self.height, self.width
        return self.width, self.height
