"""EXIF and XMP for outputs whose client asked to keep them.

Nothing is copied: each block is read, what belongs to the old file is left out, and the rest is
written anew, so that an output holds no broken block. Left out are thumbnails, offsets, sizes,
notes of camera makers (their inner offsets break when they are moved), and gain maps.
"""

import mmap
from pathlib import Path
from typing import Literal, NamedTuple
from xml.etree.ElementTree import ParseError

from encoders import exif_blocks
from encoders.plan import Notice
from encoders.xmp import copyright_xmp, rebuilt_xmp

EXIF_LIMIT = 64 * 1024 - 10
"""Bytes: one JPEG segment less its length and prefix."""

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
    except ValueError as error:
        notices.append(_unreadable("EXIF", error))
    try:
        new_xmp = (rebuilt_xmp if how == "keep" else copyright_xmp)(xmp) if xmp else None
    except (ValueError, ParseError, RecursionError) as error:
        notices.append(_unreadable("XMP", error))
    return Kept(new_exif, new_xmp, tuple(notices))


def exif_of_tiff(path: Path) -> bytes | None:
    """The EXIF of a TIFF file, which is itself such a structure; None if it cannot be read."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return exif_blocks.write(exif_blocks.kept(exif_blocks.read(data))) or None
    except ValueError:
        return None


def _exif(block: bytes, how: How, size: tuple[int, int], *, srgb: bool) -> bytes | None:
    old = exif_blocks.read(block)
    if how == "keep":
        written = exif_blocks.write(exif_blocks.kept(old, size, srgb=srgb))
    else:
        written = exif_blocks.write(exif_blocks.copyright_only(old))
    if len(written) > EXIF_LIMIT:
        raise ValueError(f"it has {len(written)} bytes, {EXIF_LIMIT} are allowed")
    return written or None


def _unreadable(what: str, error: Exception) -> Notice:
    return Notice("metadata_unreadable", f"The {what} was left out, as it is broken: {error}.")
