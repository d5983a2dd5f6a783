"""JPEG (ITU-T T.81): the markers up to the frame header, then a look for the end of the image."""

from encoders.errors import damaged
from encoders.exif import UPRIGHT, orientation
from encoders.header import Header
from encoders.reader import Reader

_SOI, _EOI, _SOS, _APP1, _TEM = 0xD8, 0xD9, 0xDA, 0xE1, 0x01
_RESTARTS = range(0xD0, 0xD8)
_NOT_FRAMES = frozenset({0xC4, 0xC8, 0xCC})
_FRAMES = frozenset(range(0xC0, 0xD0)) - _NOT_FRAMES
_CHUNK = 1 << 20
_END = bytes((0xFF, _EOI))


def parse(reader: Reader) -> Header:
    """Size from the frame header, orientation from EXIF; refuses a file without an end marker.

    ImageMagick fills the missing part of a truncated JPEG with grey, so the end is looked for here.
    Bytes after the end marker are allowed: phones append videos there.
    """
    reader.skip(2)
    size: tuple[int, int] | None = None
    turn = UPRIGHT
    while (marker := _next_marker(reader)) != _SOS:
        if marker == _EOI:
            raise damaged("The JPEG ends before any picture data.")
        length = reader.uint(2) - 2
        if length < 0:
            raise damaged("The JPEG has a segment with an impossible length.")
        if marker in _FRAMES and size is None:
            size = _frame_size(reader.take(length))
        elif marker == _APP1 and turn == UPRIGHT:
            turn = orientation(reader.take(length))
        else:
            reader.skip(length)
    if size is None:
        raise damaged("The JPEG has no frame header.")
    _require_end(reader)
    return Header("jpeg", size[0], size[1], orientation=turn)


def _next_marker(reader: Reader) -> int:
    """The next marker that has a length; decoders skip stray bytes between segments, so do we."""
    while True:
        while reader.uint(1) != 0xFF:  # noqa: PLR2004 - the byte every marker starts with
            pass
        while (code := reader.uint(1)) == 0xFF:  # noqa: PLR2004 - fill bytes
            pass
        if code and code not in _RESTARTS and code not in (_SOI, _TEM):
            return code


def _frame_size(segment: bytes) -> tuple[int, int]:
    if len(segment) < 6:  # noqa: PLR2004 - precision, height, width, components
        raise damaged("The JPEG has a frame header that is too short.")
    return int.from_bytes(segment[3:5], "big"), int.from_bytes(segment[1:3], "big")


def _require_end(reader: Reader) -> None:
    """Coded data never contains the end marker, so its first occurrence is the real one."""
    tail = b""
    while reader.left:
        chunk = reader.take_some(_CHUNK)
        if _END in tail + chunk:
            return
        tail = chunk[-1:]
    raise damaged("The JPEG is truncated: it has no end marker.")
