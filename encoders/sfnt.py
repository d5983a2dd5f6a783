"""What a font file says of itself: its names, and which characters it can draw.

TrueType and OpenType files are "sfnt" tables; names are in `name`, glyphs by character in `cmap`
(OpenType 1.9.1, chapters "otff", "name" and "cmap"). A collection (`.ttc`) is several fonts that
may share tables. Pure Python, as web processes ask too. Every read is bounded, and a file that
breaks a promise raises ValueError.
"""

import bisect
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_SIGNATURES = frozenset({b"\0\1\0\0", b"OTTO", b"true"})
_COLLECTION = b"ttcf"
_MAX_FACES = 64
_MAX_TABLES = 256
_MAX_TABLE_BYTES = 4 << 20
_FAMILY, _STYLE, _WHOLE_FAMILY, _WHOLE_STYLE = 1, 2, 16, 17
_ENGLISH = 0x409
_WINDOWS, _UNICODE, _MACINTOSH = 3, 0, 1
_CMAPS = ((3, 10), (0, 6), (0, 4), (3, 1), (0, 3))
"""(platform, encoding) of tables for Unicode, those that reach furthest first."""

Glyph = Callable[[int], int]
"""Code point -> number of the glyph, 0 where the font has none."""


class Face(NamedTuple):
    """One font: its file, and its number in there (0 unless it is one of a collection)."""

    path: Path
    number: int = 0


def faces(path: Path) -> list[Face]:
    """Every font in a file. Raises ValueError, OSError."""
    with path.open("rb") as file:
        head = file.read(12)
    if not head.startswith(_COLLECTION):
        return [Face(path)]
    count = int.from_bytes(head[8:])
    if not 0 < count <= _MAX_FACES:
        raise ValueError(f"it is a collection of {count} fonts; 1 to {_MAX_FACES} are read")
    return [Face(path, number) for number in range(count)]


def names(face: Face) -> tuple[str, str]:
    """Family and style, such as ("DejaVu Sans", "Bold"). Raises ValueError, OSError."""
    found: dict[int, tuple[int, str]] = {}
    for rank, number, text in _name_records(_table(face, b"name")):
        if text and (number not in found or rank < found[number][0]):
            found[number] = rank, text
    family = found.get(_WHOLE_FAMILY) or found.get(_FAMILY)
    if family is None:
        raise ValueError("it does not say its family")
    style = found.get(_WHOLE_STYLE) or found.get(_STYLE) or (0, "Regular")
    return family[1], style[1]


def glyphs(face: Face) -> Glyph | None:
    """Which glyph draws a character; None where the font has no table for Unicode.

    Raises ValueError, OSError.
    """
    data = _table(face, b"cmap")
    try:
        (count,) = struct.unpack_from(">H", data, 2)
        records = [struct.unpack_from(">HHI", data, 4 + 8 * index) for index in range(count)]
        places = {(platform, encoding): at for platform, encoding, at in records}
        for wanted in _CMAPS:
            if wanted in places and (glyph := _subtable(data, places[wanted])):
                return glyph
    except struct.error as error:
        raise ValueError("its table of characters is cut off") from error
    return None


def _table(face: Face, tag: bytes) -> bytes:
    with face.path.open("rb") as file:
        file.seek(_start(file, face.number))
        head = file.read(12)
        count = int.from_bytes(head[4:6])
        if head[:4] not in _SIGNATURES or not 0 < count <= _MAX_TABLES:
            raise ValueError("it is no TrueType or OpenType font")
        for _ in range(count):
            record = file.read(16)
            if record[:4] == tag:
                at, length = int.from_bytes(record[8:12]), int.from_bytes(record[12:16])
                file.seek(at)
                data = file.read(length) if length <= _MAX_TABLE_BYTES else b""
                if len(data) == length > 0:
                    return data
                break
    raise ValueError(f"its table {tag.decode()} is missing or broken")


def _start(file: BinaryIO, number: int) -> int:
    """Where the list of a font's tables is; the tables' own places count from the file's start."""
    if file.read(4) != _COLLECTION:
        return 0
    file.seek(12 + 4 * number)
    return int.from_bytes(file.read(4))


def _name_records(data: bytes) -> Iterator[tuple[int, int, str]]:
    """Rank (the smallest is best), name id and text of each readable name."""
    try:
        count, start = struct.unpack_from(">HH", data, 2)
        for index in range(count):
            platform, _encoding, language, number, length, offset = struct.unpack_from(
                ">6H", data, 6 + 12 * index
            )
            raw = data[start + offset : start + offset + length]
            if platform == _MACINTOSH:
                yield 2, number, _clean(raw.decode("mac_roman"))
            elif platform in {_WINDOWS, _UNICODE}:
                rank = 0 if (platform, language) == (_WINDOWS, _ENGLISH) else 1
                yield rank, number, _clean(raw.decode("utf-16-be", "replace"))
    except struct.error as error:
        raise ValueError("its table of names is cut off") from error


def _clean(text: str) -> str:
    return " ".join("".join(sign for sign in text if sign.isprintable()).split())[:64]


def _subtable(data: bytes, at: int) -> Glyph | None:
    (kind,) = struct.unpack_from(">H", data, at)
    if kind == 4:  # noqa: PLR2004 - the number that the format has in the standard
        return _segments(data, at)
    if kind == 12:  # noqa: PLR2004
        return _groups(data, at)
    return None


def _segments(data: bytes, at: int) -> Glyph:
    """Format 4: ranges of 16-bit characters, by their ends."""
    count = int(struct.unpack_from(">H", data, at + 6)[0]) // 2
    row = f">{count}H"
    ends, starts, deltas, offsets = (
        struct.unpack_from(row, data, at + 14 + 2 * count * index + (2 if index else 0))
        for index in range(4)
    )
    first_offset = at + 16 + 6 * count

    def glyph(point: int) -> int:
        index = bisect.bisect_left(ends, point)
        if index == count or point < starts[index]:
            return 0
        if not offsets[index]:
            return int(point + deltas[index]) & 0xFFFF
        place = first_offset + 2 * index + offsets[index] + 2 * (point - starts[index])
        found = int.from_bytes(data[place : place + 2])
        return (found + deltas[index]) & 0xFFFF if found else 0

    return glyph


def _groups(data: bytes, at: int) -> Glyph:
    """Format 12: ranges of any characters."""
    (count,) = struct.unpack_from(">I", data, at + 12)
    if 12 * count > len(data):
        raise ValueError("its table of characters is cut off")
    groups = [struct.unpack_from(">III", data, at + 16 + 12 * index) for index in range(count)]
    starts = [start for start, _end, _glyph in groups]

    def glyph(point: int) -> int:
        index = bisect.bisect_right(starts, point) - 1
        if index < 0 or point > groups[index][1]:
            return 0
        return int(groups[index][2] + point - starts[index])

    return glyph
