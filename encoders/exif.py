"""The one fact that is needed from EXIF: which way is up."""

import struct

ORIENTATION_TAG = 0x0112
UPRIGHT = 1
ORIENTATIONS = range(1, 9)
SIDEWAYS = frozenset({5, 6, 7, 8})
"""Orientations in which the stored width is the upright height."""

PREFIX = b"Exif\0\0"
_ENTRY_BYTES = 12
BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}


def orientation(block: bytes) -> int:
    """The orientation (1 to 8, EXIF 2.32 section 4.6.4) in an EXIF block, with or without prefix.

    A broken block is no reason to refuse a picture, so anything odd means 1 (upright).
    """
    tiff = block.removeprefix(PREFIX)
    order = BYTE_ORDERS.get(tiff[:4])
    if order is None:
        return UPRIGHT
    try:
        return _find(tiff, order)
    except struct.error:
        return UPRIGHT


def _find(tiff: bytes, order: str) -> int:
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, start)
    for index in range(count):
        at = start + 2 + index * _ENTRY_BYTES
        tag, _kind, _count, value = struct.unpack_from(order + "HHIH", tiff, at)
        if tag == ORIENTATION_TAG:
            return value if value in ORIENTATIONS else UPRIGHT
    return UPRIGHT
