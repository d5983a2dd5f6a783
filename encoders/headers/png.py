"""PNG and APNG (W3C PNG, third edition): the list of chunks."""

import zlib

from encoders.errors import damaged
from encoders.exif import UPRIGHT, orientation
from encoders.header import Header
from encoders.reader import Reader

_SIGNATURE_BYTES = 8
_CRC_BYTES = 4
_IHDR_BYTES = 13
_ACTL_BYTES = 8
_EXIF_LIMIT = 1 << 20


def parse(reader: Reader) -> Header:
    """Size from IHDR (its checksum is verified), frames from acTL, orientation from eXIf."""
    reader.skip(_SIGNATURE_BYTES)
    width, height = _ihdr(reader)
    frames, turn, has_data = 1, UPRIGHT, False
    while True:
        length, name = reader.uint(4), reader.take(4)
        if name == b"IEND":
            break
        has_data = has_data or name == b"IDAT"
        wanted = (name == b"acTL" and length == _ACTL_BYTES) or (
            name == b"eXIf" and length <= _EXIF_LIMIT
        )
        body = reader.take(length) if wanted else b""
        reader.skip(_CRC_BYTES if wanted else length + _CRC_BYTES)
        if body and name == b"acTL":
            frames = max(1, int.from_bytes(body[:4], "big"))
        elif body:
            turn = orientation(body)
    if not has_data:
        raise damaged("The PNG has no picture data (IDAT).")
    return Header("png", width, height, frames, turn)


def _ihdr(reader: Reader) -> tuple[int, int]:
    length, name = reader.uint(4), reader.take(4)
    if name != b"IHDR" or length != _IHDR_BYTES:
        raise damaged("The PNG does not start with its header (IHDR).")
    body = reader.take(length)
    if reader.uint(_CRC_BYTES) != zlib.crc32(name + body):
        raise damaged("The PNG header has a wrong checksum.")
    return int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
