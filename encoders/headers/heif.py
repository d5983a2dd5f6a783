"""AVIF and HEIC (ISO/IEC 23008-12): the properties of the primary item, and the sample count."""

import struct
from collections.abc import Iterator

from encoders.blocks import PROFILE_LIMIT, Blocks
from encoders.errors import PictureError, damaged
from encoders.header import UNSPECIFIED, Header
from encoders.reader import Reader

_META_LIMIT = 4 << 20
_FULL_BOX = 4
_GAIN_MAPS = (b"urn:com:apple:photo:2020:aux:hdrgainmap\0", b"tmap")
"""An auxiliary picture of Apple's, an item of ISO 21496-1."""
_ALPHA = (b"urn:mpeg:hevc:2015:auxid:1\0", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")


def parse_avif(reader: Reader) -> Header:
    """Upright size. A clean aperture (clap) is not applied, as the decoder ignores it."""
    return _parse(reader, "avif", crop=False)


def parse_heic(reader: Reader) -> Header:
    """Upright size after the clean aperture, which the decoder applies."""
    return _parse(reader, "heic", crop=True)


def blocks(reader: Reader) -> Blocks:
    """The profile of the primary picture: ImageMagick 6 does not hand it on."""
    meta, _ = _top_boxes(reader)
    for name, body in _primary_properties(meta):
        if name == b"colr" and body[:4] in (b"prof", b"rICC"):
            return Blocks(profile=body[4 : 4 + PROFILE_LIMIT])
    return Blocks()


def _parse(reader: Reader, name: str, *, crop: bool) -> Header:
    meta, moov = _top_boxes(reader)
    properties = _primary_properties(meta)
    width, height = _size(properties, crop=crop)
    primaries, transfer = _nclx(properties)
    return Header(
        name,
        width,
        height,
        _samples(moov),
        alpha_lost=name == "heic" and any(urn in meta for urn in _ALPHA),
        primaries=primaries,
        transfer=transfer,
        gain_map=any(sign in meta for sign in _GAIN_MAPS),
    )


def _top_boxes(reader: Reader) -> tuple[bytes, bytes]:
    """The bodies of ``meta`` and ``moov`` (empty if there is none).

    Whatever follows the picture and is no box of these is left alone, as phones and users add it.
    """
    found = {b"meta": b"", b"moov": b""}
    has_data = False
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
            found[name] = reader.take(body)
        else:
            reader.skip(body)
    if not found[b"meta"]:
        raise PictureError("unsupported_type", "The file is a video without a still picture.")
    return found[b"meta"], found[b"moov"]


def _box_head(reader: Reader) -> tuple[bytes, int]:
    """Name and length of the body; negative if it cannot be."""
    length, name = reader.uint(4), reader.take(4)
    if length == 0:
        return name, reader.left
    if length == 1:
        return name, reader.uint(8) - 16 if reader.left >= 8 else -1  # noqa: PLR2004
    return name, length - 8


def _boxes(data: bytes, start: int = 0) -> Iterator[tuple[bytes, bytes]]:
    at = start
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if length < 8:  # noqa: PLR2004 - smaller than its own header
            raise damaged("The file has a box with an impossible length.")
        yield data[at + 4 : at + 8], data[at + 8 : at + length]
        at += length


def _child(data: bytes, name: bytes, start: int = 0) -> bytes:
    for found, body in _boxes(data, start):
        if found == name:
            return body
    raise damaged(f"The file has no '{name.decode()}' box.")


def _primary_properties(meta: bytes) -> list[tuple[bytes, bytes]]:
    """Name and body of each property of the primary item, in their order."""
    try:
        primary = _primary_item(_child(meta, b"pitm", _FULL_BOX))
        properties = _child(meta, b"iprp", _FULL_BOX)
        available = list(_boxes(_child(properties, b"ipco")))
        used = _associations(_child(properties, b"ipma"), primary)
        return [available[index - 1] for index in used if index]
    except (struct.error, IndexError) as error:
        raise damaged("The file has a broken list of picture properties.") from error


def _primary_item(body: bytes) -> int:
    (item,) = struct.unpack_from(">I" if body[0] else ">H", body, _FULL_BOX)
    return int(item)


def _associations(body: bytes, wanted: int) -> list[int]:
    """One-based indices of the properties of item ``wanted``, in their order."""
    item_format = ">IB" if body[0] else ">HB"
    index_format, mask = (">H", 0x7FFF) if body[3] & 1 else (">B", 0x7F)
    (count,) = struct.unpack_from(">I", body, _FULL_BOX)
    at = _FULL_BOX + 4
    for _ in range(count):
        item, length = struct.unpack_from(item_format, body, at)
        at += struct.calcsize(item_format)
        step = struct.calcsize(index_format)
        if item == wanted:
            return [
                struct.unpack_from(index_format, body, at + step * number)[0] & mask
                for number in range(length)
            ]
        at += step * length
    raise damaged("The file's primary picture has no properties.")


def _size(properties: list[tuple[bytes, bytes]], *, crop: bool) -> tuple[int, int]:
    try:
        return _turned_size(properties, crop=crop)
    except (struct.error, IndexError) as error:
        raise damaged("The file has a broken picture property.") from error


def _turned_size(properties: list[tuple[bytes, bytes]], *, crop: bool) -> tuple[int, int]:
    width = height = 0
    for name, body in properties:
        if name == b"ispe":
            width, height = struct.unpack_from(">II", body, _FULL_BOX)
        elif name == b"clap" and crop:
            wide, wide_by, high, high_by = struct.unpack_from(">IIII", body)
            width, height = wide // max(1, wide_by), high // max(1, high_by)
        elif name == b"irot" and body[0] & 1:
            width, height = height, width
    return width, height


def _nclx(properties: list[tuple[bytes, bytes]]) -> tuple[int, int]:
    """Primaries and transfer (ITU-T H.273) of the first colour property that gives them."""
    for name, body in properties:
        if name == b"colr" and body.startswith(b"nclx") and len(body) >= 8:  # noqa: PLR2004
            return int.from_bytes(body[4:6], "big"), int.from_bytes(body[6:8], "big")
    return UNSPECIFIED, UNSPECIFIED


def _samples(moov: bytes) -> int:
    """Frames of an image sequence: the longest track; 1 for a still."""
    frames = 1
    for name, track in _boxes(moov):
        if name == b"trak":
            table = _child(_child(_child(track, b"mdia"), b"minf"), b"stbl")
            frames = max(frames, int.from_bytes(_child(table, b"stsz")[8:12], "big"))
    return frames
