"""PNG and APNG (W3C PNG, third edition): the list of chunks."""

import math
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from encoders.blocks import EXIF_LIMIT, PROFILE_LIMIT, XMP_LIMIT, Blocks
from encoders.errors import damaged
from encoders.exif import orientation
from encoders.header import UNSPECIFIED, Header
from encoders.reader import Reader

_SIGNATURE_BYTES = 8
_CRC_BYTES = 4
_IHDR_BYTES = 13
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Colour type -> channels."""
_LIMITS = {
    b"acTL": 8,
    b"eXIf": EXIF_LIMIT,
    b"cICP": 4,
    b"sRGB": 1,
    b"gAMA": 4,
    b"cHRM": 32,
    b"iCCP": PROFILE_LIMIT,
    b"iTXt": XMP_LIMIT,
}
"""The ancillary chunks that matter -> how many bytes of them are read."""
_XMP = b"XML:com.adobe.xmp\0"
_FULL_RANGE = 1


class Ihdr(NamedTuple):
    """The facts of IHDR; ``kind`` is the colour type."""

    width: int
    height: int
    bits: int
    kind: int
    interlaced: bool

    @property
    def raw_bytes(self) -> int:
        """Length of the inflated data of a file that is not interlaced."""
        row = math.ceil(self.width * self.bits * _CHANNELS.get(self.kind, 1) / 8)
        return self.height * (1 + row)


def parse(reader: Reader) -> Header:
    """Size from IHDR (its checksum is verified), frames from acTL, orientation from eXIf."""
    ihdr = read_ihdr(reader)
    found, has_data = _walk(reader)
    if not has_data:
        raise damaged("The PNG has no picture data (IDAT).")
    frames = max(1, int.from_bytes(found.get(b"acTL", b"")[:4], "big"))
    turn = orientation(found.get(b"eXIf", b""))
    primaries, transfer = _cicp(found.get(b"cICP", b""))
    return Header(
        "png", ihdr.width, ihdr.height, frames, turn, primaries=primaries, transfer=transfer
    )


def blocks(reader: Reader) -> Blocks:
    """Profile, EXIF, XMP, and the gamma of a file that has neither profile nor sRGB chunk."""
    read_ihdr(reader)
    found, _ = _walk(reader)
    profile = _inflate(found[b"iCCP"]) if b"iCCP" in found else None
    xmp = _xmp(found.get(b"iTXt", b""))
    exif = found.get(b"eXIf")
    if profile is not None or b"sRGB" in found:
        return Blocks(profile, exif, xmp)
    return Blocks(
        None, exif, xmp, _gamma(found.get(b"gAMA", b"")), _chromaticities(found.get(b"cHRM", b""))
    )


def read_ihdr(reader: Reader) -> Ihdr:
    """The first chunk, at the start of a file."""
    reader.skip(_SIGNATURE_BYTES)
    length, name = reader.uint(4), reader.take(4)
    if name != b"IHDR" or length != _IHDR_BYTES:
        raise damaged("The PNG does not start with its header (IHDR).")
    body = reader.take(length)
    if reader.uint(_CRC_BYTES) != zlib.crc32(name + body):
        raise damaged("The PNG header has a wrong checksum.")
    width, height = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
    return Ihdr(width, height, body[8], body[9], bool(body[12]))


def chunks(reader: Reader) -> Iterator[tuple[bytes, int]]:
    """Name and length of each chunk up to IEND; the caller reads or skips body and checksum."""
    if reader.position == 0:
        reader.skip(_SIGNATURE_BYTES)
    while True:
        length, name = reader.uint(4), reader.take(4)
        if name == b"IEND":
            return
        yield name, length


def _walk(reader: Reader) -> tuple[dict[bytes, bytes], bool]:
    """The first of each chunk that matters (of iTXt: the XMP), and whether there is an IDAT.

    One whose checksum is wrong is not there, as for libpng.
    """
    found: dict[bytes, bytes] = {}
    has_data = False
    for name, length in chunks(reader):
        has_data = has_data or name == b"IDAT"
        if name in found or length > _LIMITS.get(name, -1):
            reader.skip(length + _CRC_BYTES)
            continue
        body = reader.take(length)
        intact = reader.uint(_CRC_BYTES) == zlib.crc32(name + body)
        if intact and (name != b"iTXt" or body.startswith(_XMP)):
            found[name] = body
    return found, has_data


def _cicp(body: bytes) -> tuple[int, int]:
    """Primaries and transfer (ITU-T H.273); the chunk counts only as full-range RGB."""
    if len(body) == _LIMITS[b"cICP"] and body[2] == 0 and body[3] == _FULL_RANGE:
        return body[0], body[1]
    return UNSPECIFIED, UNSPECIFIED


def _inflate(body: bytes) -> bytes:
    """The profile in an iCCP chunk; what was readable of it if it is broken."""
    _name, _, rest = body.partition(b"\0")
    inflater = zlib.decompressobj()
    try:
        return inflater.decompress(rest[1:], PROFILE_LIMIT)
    except zlib.error:
        return b"broken"


def _xmp(body: bytes) -> bytes | None:
    """The text of an iTXt chunk after its keyword, two flags and two more strings."""
    flags, rest = body[len(_XMP) : len(_XMP) + 2], body[len(_XMP) + 2 :]
    parts = rest.split(b"\0", 2)
    if len(parts) != 3:  # noqa: PLR2004 - language, translated keyword, text
        return None
    if not flags[0]:
        return parts[2]
    try:
        return zlib.decompressobj().decompress(parts[2], XMP_LIMIT)
    except zlib.error:
        return b"broken"


def _gamma(body: bytes) -> float | None:
    stored = int.from_bytes(body, "big")
    return 100_000 / stored if len(body) == _LIMITS[b"gAMA"] and stored else None


def _chromaticities(body: bytes) -> tuple[float, ...] | None:
    if len(body) != _LIMITS[b"cHRM"]:
        return None
    return tuple(int.from_bytes(body[at : at + 4], "big") / 100_000 for at in range(0, 32, 4))
