"""EXIF and XMP for outputs whose client asked to keep them.

Nothing is copied: each block is read, what belongs to the old file is left out, and the rest is
written anew, so that an output holds no broken block. Left out are thumbnails, offsets, sizes,
notes of camera makers (their inner offsets break when they are moved), and gain maps.
"""

import struct
import warnings
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image

from encoders.exif import ORIENTATION_TAG, PREFIX, UPRIGHT
from encoders.plan import Notice
from encoders.xmp import copyright_xmp, rebuilt_xmp

EXIF_LIMIT = 64 * 1024 - 10
"""Bytes: one JPEG segment less its length and prefix."""

_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_ARTIST, _COPYRIGHT = 0x013B, 0x8298
_ALWAYS = frozenset({_ARTIST, _COPYRIGHT})
_KEPT = _ALWAYS | {
    0x010D,  # DocumentName
    0x010E,  # ImageDescription
    0x010F,  # Make
    0x0110,  # Model
    0x011A,  # XResolution
    0x011B,  # YResolution
    0x0128,  # ResolutionUnit
    0x0131,  # Software
    0x0132,  # DateTime
    0x013C,  # HostComputer
    0x4746,  # Rating
    0x4749,  # RatingPercent
    *range(0x9C9B, 0x9CA0),  # XPTitle, XPComment, XPAuthor, XPKeywords, XPSubject
}
"""Tags of the first directory that speak of the picture; all others speak of the file."""
_COLOR_SPACE, _WIDTH, _HEIGHT = 0xA001, 0xA002, 0xA003
_DROPPED = frozenset({0x927C, 0xA005, _COLOR_SPACE, _WIDTH, _HEIGHT})
"""MakerNote, Interoperability, and what is written anew."""
_SRGB, _UNCALIBRATED = 1, 0xFFFF

# Pillow's reader of directories fails in all these ways, and warns of some damage only.
_UNREADABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    Warning,
    struct.error,
)

How = Literal["copyright", "keep"]


class Kept(NamedTuple):
    """What an output may carry: a TIFF structure without prefix, an XMP packet, and notices."""

    exif: bytes | None
    xmp: bytes | None
    notices: tuple[Notice, ...]


def kept(
    exif: bytes | None, xmp: bytes | None, how: How, size: tuple[int, int], *, srgb: bool
) -> Kept:
    """The source's blocks for an upright picture of ``size``, whose colours are sRGB or not.

    "copyright" leaves the copyright and the artist only. A block that is broken or too large is
    left out, with the notice metadata_unreadable.
    """
    notices = []
    new_exif = new_xmp = None
    try:
        new_exif = _exif(exif, how, size, srgb=srgb) if exif else None
    except _UNREADABLE as error:
        notices.append(_unreadable("EXIF", error))
    try:
        new_xmp = (rebuilt_xmp if how == "keep" else copyright_xmp)(xmp) if xmp else None
    except _UNREADABLE as error:
        notices.append(_unreadable("XMP", error))
    return Kept(new_exif, new_xmp, tuple(notices))


def exif_of_tiff(path: Path) -> bytes | None:
    """The EXIF of a TIFF file, whose own directory it is; None if there is none to be read."""
    try:
        with Image.open(path, formats=["TIFF"]) as image:
            return _bytes(_selected(image.getexif(), "keep")) or None
    except _UNREADABLE:
        return None


def _exif(block: bytes, how: How, size: tuple[int, int], *, srgb: bool) -> bytes | None:
    old = Image.Exif()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        old.load(PREFIX + block)
        new = _selected(old, how)
    if how == "keep":
        new[ORIENTATION_TAG] = UPRIGHT
        inner = new.get_ifd(_EXIF_IFD)
        inner[_WIDTH], inner[_HEIGHT] = size
        inner[_COLOR_SPACE] = _SRGB if srgb else _UNCALIBRATED
    written = _bytes(new)
    if len(written) > EXIF_LIMIT:
        raise ValueError(f"it has {len(written)} bytes, {EXIF_LIMIT} are allowed")
    return written or None


def _selected(old: Image.Exif, how: How) -> Image.Exif:
    """A new block with what may stay of ``old``."""
    new = Image.Exif()
    for tag in _KEPT if how == "keep" else _ALWAYS:
        if tag in old:
            new[tag] = old[tag]
    if how == "keep":
        inner = old.get_ifd(_EXIF_IFD)
        new.get_ifd(_EXIF_IFD).update({t: v for t, v in inner.items() if t not in _DROPPED})
        if place := old.get_ifd(_GPS_IFD):
            new.get_ifd(_GPS_IFD).update(place)
    return new


def _bytes(exif: Image.Exif) -> bytes:
    """The TIFF structure; empty if there is no tag."""
    if not len(exif) and not exif.get_ifd(_EXIF_IFD):
        return b""
    return exif.tobytes().removeprefix(PREFIX)


def _unreadable(what: str, error: Exception) -> Notice:
    return Notice("metadata_unreadable", f"The {what} was left out, as it is broken: {error}")
