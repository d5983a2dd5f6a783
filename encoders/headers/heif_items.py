"""The coded pictures in AVIF and HEIC: what each one promises, and where its data lies.

ISO/IEC 14496-12, sections 8.7 (tracks) and 8.11 (items).
"""

import io
import struct
from collections.abc import Iterator
from typing import NamedTuple

from encoders.errors import damaged
from encoders.headers.heif import (
    FULL_BOX,
    Property,
    boxes,
    child,
    place_of,
    properties_by_item,
    top_boxes,
)
from encoders.reader import Reader

Span = tuple[int, int]
"""Offset in the file and length, bytes."""

_CODED = frozenset({b"av01", b"hvc1"})
_IN_META = 1
_MOST_LEVELS = 3
"""A turned or gain-mapped grid of tiles has two."""
_TWO_BYTE_IDS, _FOUR_BYTE_IDS = 2, 3
"""Versions of an item's entry that say what kind it is."""


class Payload:
    """The bytes of one picture, which may lie in several places of the file."""

    def __init__(self, reader: Reader, spans: list[Span]) -> None:
        self._reader = reader
        self._spans = [(at, length) for at, length in reversed(spans) if length]
        self.left = sum(length for _, length in self._spans)

    def uint(self, count: int) -> int:
        """The next ``count`` bytes as a number."""
        data = self.peek(count)
        self.skip(count)
        return int.from_bytes(data)

    def peek(self, count: int) -> bytes:
        """The next ``count`` bytes, which stay the next ones."""
        found = b""
        for at, length in reversed(self._spans):
            self._reader.jump(at)
            found += self._reader.take(min(length, count - len(found)))
            if len(found) == count:
                return found
        raise damaged("The coded picture has a header that is too short.")

    def skip(self, count: int) -> None:
        """Move on by ``count`` bytes, which must be there."""
        self.left -= count
        if self.left < 0:
            raise damaged("The coded picture has a header that is too short.")
        while count:
            at, length = self._spans.pop()
            step = min(length, count)
            count -= step
            if step < length:
                self._spans.append((at + step, length - step))


class Coded(NamedTuple):
    """An item that is no description of others, or the first sample of a track."""

    kind: bytes
    properties: list[Property]
    payload: Payload


def coded(reader: Reader) -> Iterator[Coded]:
    """Each of them. Raises PictureError damaged_picture."""
    meta, moov, meta_at = top_boxes(reader)
    try:
        yield from _items(reader, meta, meta_at)
        for name, track in boxes(moov):
            if name == b"trak":
                yield from _first_sample(reader, track)
    except (struct.error, IndexError) as error:
        raise damaged("The file has a broken list of coded pictures.") from error


def most_pixels(reader: Reader) -> int:
    """How many pixels must be decoded for the dearest picture that is made of others.

    One that is used a thousand times counts a thousand times: decoders remember none.
    Raises PictureError damaged_picture.
    """
    meta = top_boxes(reader).meta
    try:
        parts = _parts(meta)
        plain = {item: _pixels(each) for item, each in properties_by_item(meta).items()}
        known: dict[int, int] = {}
        return max((_cost(item, parts, plain, known, 0) for item in parts), default=0)
    except (struct.error, IndexError) as error:
        raise damaged("The file has a broken list of pictures.") from error


def _parts(meta: bytes) -> dict[int, list[int]]:
    """Item -> the items that it is made of (``dimg`` references)."""
    found: dict[int, list[int]] = {}
    for name, body in boxes(meta, FULL_BOX):
        if name != b"iref":
            continue
        kind = ">I" if body[0] else ">H"
        size = struct.calcsize(kind)
        for sort, entry in boxes(body, FULL_BOX):
            if sort == b"dimg":
                (item,) = struct.unpack_from(kind, entry)
                (count,) = struct.unpack_from(">H", entry, size)
                parts = struct.unpack_from(f">{count}{kind[1]}", entry, size + 2)
                found.setdefault(item, []).extend(parts)
    return found


def _cost(
    item: int, parts: dict[int, list[int]], plain: dict[int, int], known: dict[int, int], level: int
) -> int:
    if item not in parts:
        return plain.get(item, 0)
    if level > _MOST_LEVELS:
        raise damaged("The file has a picture that is made of too many others, or of itself.")
    if item not in known:
        known[item] = sum(_cost(part, parts, plain, known, level + 1) for part in parts[item])
    return known[item]


def _pixels(properties: list[Property]) -> int:
    for name, body in properties:
        if name == b"ispe":
            return int.from_bytes(body[4:8]) * int.from_bytes(body[8:12])
    return 0


def _items(reader: Reader, meta: bytes, meta_at: int) -> Iterator[Coded]:
    names = {name for name, _ in boxes(meta, FULL_BOX)}
    if not {b"iinf", b"iloc"} <= names:
        return
    kinds = _kinds(child(meta, b"iinf", FULL_BOX))
    properties = properties_by_item(meta)
    data_at = meta_at + place_of(meta, b"idat", FULL_BOX) if b"idat" in names else 0
    for item, spans in _locations(child(meta, b"iloc", FULL_BOX), data_at):
        if kinds.get(item) in _CODED:
            yield Coded(kinds[item], properties.get(item, []), Payload(reader, spans))


def _kinds(body: bytes) -> dict[int, bytes]:
    """Item -> what it is, from the ``iinf`` box."""
    found = {}
    for name, entry in boxes(body, FULL_BOX + (4 if body[0] else 2)):
        if name == b"infe" and entry[0] in {_TWO_BYTE_IDS, _FOUR_BYTE_IDS}:
            size = 4 if entry[0] == _FOUR_BYTE_IDS else 2
            kind_at = FULL_BOX + size + 2
            item = int.from_bytes(entry[FULL_BOX : FULL_BOX + size])
            found[item] = entry[kind_at : kind_at + 4]
    return found


def _locations(body: bytes, data_at: int) -> Iterator[tuple[int, list[Span]]]:
    """Items and where they lie, from the ``iloc`` box. ``data_at``: where ``idat`` begins."""
    reader = Reader(io.BytesIO(body), len(body))
    version = reader.uint(1)
    reader.skip(3)
    sizes = reader.uint(2)
    offset_bytes, length_bytes, base_bytes, index_bytes = (sizes >> at & 15 for at in (12, 8, 4, 0))
    id_bytes = 4 if version > 1 else 2
    for _ in range(reader.uint(id_bytes)):
        item = reader.uint(id_bytes)
        method = reader.uint(2) & 15 if version else 0
        reader.skip(2)
        base = reader.uint(base_bytes) + (data_at if method == _IN_META else 0)
        spans = []
        for _ in range(reader.uint(2)):
            reader.skip(index_bytes if version else 0)
            spans.append((base + reader.uint(offset_bytes), reader.uint(length_bytes)))
        yield item, spans


def _first_sample(reader: Reader, track: bytes) -> Iterator[Coded]:
    """What a decoder of stills reads of a track; of HEVC none does."""
    tables = dict(boxes(child(child(child(track, b"mdia"), b"minf"), b"stbl")))
    kind = tables.get(b"stsd", b"")[12:16]
    if kind == b"av01":
        wide = b"co64" in tables
        chunks = tables.get(b"co64" if wide else b"stco", b"")
        (at,) = struct.unpack_from(">Q" if wide else ">I", chunks, FULL_BOX + 4)
        sample_sizes = tables.get(b"stsz", b"").ljust(16, b"\0")
        same, _, first = struct.unpack_from(">III", sample_sizes, FULL_BOX)
        yield Coded(kind, [], Payload(reader, [(at, same or first)]))
