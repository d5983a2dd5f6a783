"""EXIF blocks, read entry by entry and written anew (EXIF 2.32; TIFF 6.0, section 2).

Values are carried as their bytes: real cameras put UTF-8 into fields that are ASCII by the letter.
"""

import mmap
import struct
from typing import NamedTuple

from encoders.exif import BYTE_ORDERS, ORIENTATION_TAG, UPRIGHT

EXIF_IFD, GPS_IFD = 0x8769, 0x8825
ARTIST, COPYRIGHT = 0x013B, 0x8298
_SHORT, _LONG = 3, 4
_BYTES_OF = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
"""Field type -> bytes of one value."""
_ENTRY = 12
_INLINE = 4
_MAX_ENTRIES = 1000
_COPYRIGHTS = frozenset({ARTIST, COPYRIGHT})
_KEPT = _COPYRIGHTS | {
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
"""MakerNote, whose inner offsets break; Interoperability; and what is written anew."""
_SRGB, _UNCALIBRATED = 1, 0xFFFF


class Entry(NamedTuple):
    """One field: its type, how many values, and the bytes of them all in the block's order."""

    kind: int
    values: int
    data: bytes


Directory = dict[int, Entry]


class Exif(NamedTuple):
    """``order`` is struct's sign for the byte order; the thumbnail's directory is never read."""

    order: str
    main: Directory
    inner: Directory
    place: Directory


def read(block: bytes | mmap.mmap) -> Exif:
    """The directories of a TIFF structure. Raises ValueError for one that is broken."""
    order = BYTE_ORDERS.get(bytes(block[:4]))
    if order is None:
        raise ValueError("it does not start like EXIF")
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        main = _directory(block, order, start)
        inner, place = (
            _directory(block, order, struct.unpack(order + "I", main[tag].data)[0])
            if tag in main
            else {}
            for tag in (EXIF_IFD, GPS_IFD)
        )
    except struct.error as error:
        raise ValueError("its directories are broken") from error
    return Exif(order, main, inner, place)


def kept(exif: Exif, size: tuple[int, int] | None = None, *, srgb: bool = True) -> Exif:
    """What may stay for an upright picture of ``size`` (None: not known yet), sRGB or not."""
    main = {tag: entry for tag, entry in exif.main.items() if tag in _KEPT}
    inner = {tag: entry for tag, entry in exif.inner.items() if tag not in _DROPPED}
    if size:
        main[ORIENTATION_TAG] = _short(exif.order, UPRIGHT)
        inner[_COLOR_SPACE] = _short(exif.order, _SRGB if srgb else _UNCALIBRATED)
        inner[_WIDTH], inner[_HEIGHT] = (_long(exif.order, side) for side in size)
    return Exif(exif.order, main, inner, exif.place)


def copyright_only(exif: Exif) -> Exif:
    """The artist and the copyright."""
    main = {tag: entry for tag, entry in exif.main.items() if tag in _COPYRIGHTS}
    return Exif(exif.order, main, {}, {})


def write(exif: Exif) -> bytes:
    """The TIFF structure, without thumbnail; empty if there is no field."""
    if not (exif.main or exif.inner or exif.place):
        return b""
    main = dict(exif.main)
    parts = {EXIF_IFD: exif.inner, GPS_IFD: exif.place}
    for tag, directory in parts.items():
        if directory:
            main[tag] = _long(exif.order, 0)
    data = struct.pack(exif.order + "2sHI", b"II" if exif.order == "<" else b"MM", 42, 8)
    at = len(data) + len(_packed(exif.order, main, 0))
    bodies = b""
    for tag, directory in parts.items():
        if directory:
            main[tag] = _long(exif.order, at + len(bodies))
            bodies += _packed(exif.order, directory, at + len(bodies))
    return data + _packed(exif.order, main, len(data)) + bodies


def _directory(block: bytes | mmap.mmap, order: str, start: int) -> Directory:
    (count,) = struct.unpack_from(order + "H", block, start)
    if count > _MAX_ENTRIES:
        raise ValueError("it has absurdly many fields")
    entries: Directory = {}
    for index in range(count):
        at = start + 2 + index * _ENTRY
        tag, kind, number = struct.unpack_from(order + "HHI", block, at)
        length = _BYTES_OF.get(kind, 0) * number
        place = at + 8
        if length > _INLINE:
            (place,) = struct.unpack_from(order + "I", block, at + 8)
        value = bytes(block[place : place + length])
        if length and len(value) == length:
            entries[tag] = Entry(kind, number, value)
        elif length:
            raise ValueError("a field points out of it")
    return entries


def _packed(order: str, directory: Directory, at: int) -> bytes:
    """A directory that will stand at ``at``, with its values after it; no directory follows."""
    head, values = struct.pack(order + "H", len(directory)), b""
    start = at + 2 + len(directory) * _ENTRY + 4
    for tag in sorted(directory):
        kind, count, value = directory[tag]
        head += struct.pack(order + "HHI", tag, kind, count)
        if len(value) <= _INLINE:
            head += value.ljust(_INLINE, b"\0")
        else:
            head += struct.pack(order + "I", start + len(values))
            values += value + bytes(len(value) % 2)
    return head + bytes(4) + values


def _short(order: str, number: int) -> Entry:
    return Entry(_SHORT, 1, struct.pack(order + "H", number))


def _long(order: str, number: int) -> Entry:
    return Entry(_LONG, 1, struct.pack(order + "I", number))
