"""AVIF and HEIC (ISO/IEC 23008-12): the properties of the primary item, and the sample count."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from encoders.blocks import PROFILE_LIMIT, Blocks
from encoders.errors import PictureError, damaged
from encoders.header import UNSPECIFIED, Header
from encoders.reader import Reader

Property = tuple[bytes, bytes]
"""Name and body."""

FULL_BOX = 4
"""Bytes of version and flags, with which many bodies begin."""

_META_LIMIT = 4 << 20
_GAIN_MAPS = (b"urn:com:apple:photo:2020:aux:hdrgainmap\0", b"tmap")
"""An auxiliary picture of Apple's, an item of ISO 21496-1."""
_ALPHA = (b"urn:mpeg:hevc:2015:auxid:1\0", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")


class Top(NamedTuple):
    """Bodies of the boxes that describe pictures; empty where there is none."""

    meta: bytes
    moov: bytes
    meta_at: int
    """Where the first body is in the file."""


def parse_avif(reader: Reader) -> Header:
    """Upright size. A clean aperture (clap) is not applied, as the decoder ignores it."""
    return _parse(reader, "avif", crop=False)


def parse_heic(reader: Reader) -> Header:
    """Upright size after the clean aperture, which the decoder applies."""
    return _parse(reader, "heic", crop=True)


def blocks(reader: Reader) -> Blocks:
    """The profile of the primary picture: ImageMagick 6 does not hand it on."""
    meta = top_boxes(reader).meta
    for name, body in _primary_properties(meta):
        if name == b"colr" and body[:4] in (b"prof", b"rICC"):
            return Blocks(profile=body[4 : 4 + PROFILE_LIMIT])
    return Blocks()


def _parse(reader: Reader, name: str, *, crop: bool) -> Header:
    meta, moov, _ = top_boxes(reader)
    properties = _primary_properties(meta)
    width, height = _size(properties, crop=crop)
    primaries, transfer = _nclx(properties)
    return Header(
        name,
        width,
        height,
        _samples(moov),
        has_alpha=name == "heic" and any(urn in meta for urn in _ALPHA),
        primaries=primaries,
        transfer=transfer,
        gain_map=any(sign in meta for sign in _GAIN_MAPS),
    )


def top_boxes(reader: Reader) -> Top:
    """The bodies of ``meta`` and ``moov``.

    Whatever follows the picture and is no box of these is left alone, as phones and users add it.
    """
    found = {b"meta": b"", b"moov": b""}
    has_data, meta_at = False, 0
    while reader.left >= 8:  # noqa: PLR2004 - the bytes of a box header
        name, body = _box_head(reader)
        is_ours = name in found or name == b"mdat"
        if not 0 <= body <= reader.left and not is_ours and has_data and found[b"meta"]:
            break
        if body < 0:
            raise damaged("The file has a box with an impossible length.")
        has_data = has_data or name == b"mdat"
        if name in found and not found[name]:
            if body > _META_LIMIT:
                raise damaged("The file has an absurdly large header.")
            meta_at = reader.position if name == b"meta" else meta_at
            found[name] = reader.take(body)
        else:
            reader.skip(body)
    if not found[b"meta"]:
        raise PictureError("unsupported_type", "The file is a video without a still picture.")
    return Top(found[b"meta"], found[b"moov"], meta_at)


def _box_head(reader: Reader) -> tuple[bytes, int]:
    """Name and length of the body; negative if it cannot be."""
    length, name = reader.uint(4), reader.take(4)
    if length == 0:
        return name, reader.left
    if length == 1:
        return name, reader.uint(8) - 16 if reader.left >= 8 else -1  # noqa: PLR2004
    return name, length - 8


def boxes(data: bytes, start: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Name and body of each box in ``data``. Raises PictureError damaged_picture."""
    for name, at, end in _places(data, start):
        yield name, data[at:end]


def place_of(data: bytes, name: bytes, start: int = 0) -> int:
    """Where the body of a box begins. Raises PictureError damaged_picture."""
    for found, at, _ in _places(data, start):
        if found == name:
            return at
    raise damaged(f"The file has no '{name.decode()}' box.")


def child(data: bytes, name: bytes, start: int = 0) -> bytes:
    """The body of the first box of that name. Raises PictureError damaged_picture."""
    for found, body in boxes(data, start):
        if found == name:
            return body
    raise damaged(f"The file has no '{name.decode()}' box.")


def _places(data: bytes, start: int) -> Iterator[tuple[bytes, int, int]]:
    at = start
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length < 8:  # noqa: PLR2004 - smaller than its own header
            raise damaged("The file has a box with an impossible length.")
        yield data[at + 4 : at + 8], at + 8, at + length
        at += length


def _primary_properties(meta: bytes) -> list[Property]:
    """In their order."""
    try:
        primary = _primary_item(child(meta, b"pitm", FULL_BOX))
        properties = properties_by_item(meta)
    except (struct.error, IndexError) as error:
        raise damaged("The file has a broken list of picture properties.") from error
    if primary not in properties:
        raise damaged("The file's primary picture has no properties.")
    return properties[primary]


def _primary_item(body: bytes) -> int:
    (item,) = struct.unpack_from(">I" if body[0] else ">H", body, FULL_BOX)
    return int(item)


def properties_by_item(meta: bytes) -> dict[int, list[Property]]:
    """Item -> its properties, in their order. Raises struct.error, IndexError, PictureError."""
    listed = child(meta, b"iprp", FULL_BOX)
    available = list(boxes(child(listed, b"ipco")))
    used = _associations(child(listed, b"ipma"))
    return {item: [available[index - 1] for index in each if index] for item, each in used.items()}


def _associations(body: bytes) -> dict[int, list[int]]:
    """Item -> one-based indices of its properties, in their order."""
    item_format = ">IB" if body[0] else ">HB"
    index_format, mask = (">H", 0x7FFF) if body[3] & 1 else (">B", 0x7F)
    step = struct.calcsize(index_format)
    (count,) = struct.unpack_from(">I", body, FULL_BOX)
    found: dict[int, list[int]] = {}
    at = FULL_BOX + 4
    for _ in range(count):
        item, length = struct.unpack_from(item_format, body, at)
        at += struct.calcsize(item_format)
        indices = [
            struct.unpack_from(index_format, body, at + step * number)[0] & mask
            for number in range(length)
        ]
        found.setdefault(item, indices)
        at += step * length
    return found


def _size(properties: list[Property], *, crop: bool) -> tuple[int, int]:
    try:
        return _turned_size(properties, crop=crop)
    except (struct.error, IndexError) as error:
        raise damaged("The file has a broken picture property.") from error


def _turned_size(properties: list[Property], *, crop: bool) -> tuple[int, int]:
    width = height = 0
    for name, body in properties:
        if name == b"ispe":
            width, height = struct.unpack_from(">II", body, FULL_BOX)
        elif name == b"clap" and crop:
            wide, wide_by, high, high_by = struct.unpack_from(">IIII", body)
            width, height = wide // max(1, wide_by), high // max(1, high_by)
        elif name == b"irot" and body[0] & 1:
            width, height = height, width
    return width, height


def _nclx(properties: list[Property]) -> tuple[int, int]:
    """Primaries and transfer (ITU-T H.273) of the first colour property that gives them."""
    for name, body in properties:
        if name == b"colr" and body.startswith(b"nclx") and len(body) >= 8:  # noqa: PLR2004
            return int.from_bytes(body[4:6], "big"), int.from_bytes(body[6:8], "big")
    return UNSPECIFIED, UNSPECIFIED


def _samples(moov: bytes) -> int:
    """Frames of an image sequence: the longest track; 1 for a still."""
    frames = 1
    for name, track in boxes(moov):
        if name == b"trak":
            table = child(child(child(track, b"mdia"), b"minf"), b"stbl")
            frames = max(frames, int.from_bytes(child(table, b"stsz")[8:12], "big"))
    return frames
