"""JPEG (ITU-T T.81): the markers up to the frame header, then a look for the end of the image."""

from collections.abc import Iterator

from encoders.blocks import PROFILE_LIMIT, Blocks
from encoders.errors import damaged
from encoders.exif import PREFIX, UPRIGHT, orientation
from encoders.header import Header
from encoders.reader import Reader

_SOI, _EOI, _SOS, _APP1, _APP2, _TEM = 0xD8, 0xD9, 0xDA, 0xE1, 0xE2, 0x01
_RESTARTS = range(0xD0, 0xD8)
_NOT_FRAMES = frozenset({0xC4, 0xC8, 0xCC})
_FRAMES = frozenset(range(0xC0, 0xD0)) - _NOT_FRAMES
_SEQUENTIAL = frozenset({0xC0, 0xC1})
_COMPONENTS_AT = 5
_CHUNK = 1 << 20
_END = bytes((0xFF, _EOI))
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_ICC = b"ICC_PROFILE\0"
_MPF = b"MPF\0"
_GAIN_MAPS = (
    b"http://ns.adobe.com/hdr-gain-map/1.0/",
    b"urn:iso:std:iso:ts:21496:-1",
    b"http://ns.apple.com/HDRGainMap/1.0/",
)
"""What a file with a gain map says: Ultra HDR and Adobe, ISO 21496-1, Apple."""


def parse(reader: Reader) -> Header:
    """Size from the frame header, orientation from EXIF; refuses a file without an end marker.

    ImageMagick fills the missing part of a truncated JPEG with grey, so the end is looked for here.
    Bytes after the end marker are allowed: phones append videos there.
    """
    size: tuple[int, int] | None = None
    turn, gain_map, more_pictures, components = UPRIGHT, False, False, 0
    for marker, length in _segments(reader):
        if marker in _FRAMES and size is None:
            frame = reader.take(length)
            size = _frame_size(frame)
            components = frame[_COMPONENTS_AT] if marker in _SEQUENTIAL else 0
        elif marker in (_APP1, _APP2):
            body = reader.take(length)
            turn = orientation(body) if turn == UPRIGHT and marker == _APP1 else turn
            gain_map = gain_map or any(sign in body for sign in _GAIN_MAPS)
            more_pictures = more_pictures or body.startswith(_MPF)
        else:
            reader.skip(length)
    if size is None:
        raise damaged("The JPEG has no frame header.")
    one_scan = components > 0 and _scan_components(reader) == components
    after = b"" if _ends_whole(reader) and not more_pictures else _require_end(reader)
    gain_map = gain_map or (more_pictures and _mentions_gain_map(reader, after))
    return Header("jpeg", *size, orientation=turn, gain_map=gain_map, one_scan=one_scan)


def blocks(reader: Reader) -> Blocks:
    """The profile, put together from its parts, the first EXIF block and the first XMP packet."""
    exif = xmp = None
    parts: dict[int, bytes] = {}
    for marker, length in _segments(reader):
        body = reader.take(length) if marker in (_APP1, _APP2) else b""
        if not body:
            reader.skip(length)
        elif marker == _APP1 and exif is None and body.startswith(PREFIX):
            exif = body.removeprefix(PREFIX)
        elif marker == _APP1 and xmp is None and body.startswith(_XMP):
            xmp = body.removeprefix(_XMP)
        elif marker == _APP2 and body.startswith(_ICC) and len(body) > len(_ICC) + 2:
            parts.setdefault(body[len(_ICC)], body[len(_ICC) + 2 :])
    profile = b"".join(parts[number] for number in sorted(parts))
    return Blocks(profile[:PROFILE_LIMIT] or None, exif, xmp)


def _segments(reader: Reader) -> Iterator[tuple[int, int]]:
    """Marker and length of each segment before the scan; the caller reads or skips the body."""
    reader.skip(2)
    while (marker := _next_marker(reader)) != _SOS:
        if marker == _EOI:
            raise damaged("The JPEG ends before any picture data.")
        length = reader.uint(2) - 2
        if length < 0:
            raise damaged("The JPEG has a segment with an impossible length.")
        yield marker, length


def _next_marker(reader: Reader) -> int:
    """The next marker that has a length; decoders skip stray bytes between segments, so do we."""
    while True:
        while reader.uint(1) != 0xFF:  # noqa: PLR2004 - the byte every marker starts with
            pass
        while (code := reader.uint(1)) == 0xFF:  # noqa: PLR2004 - fill bytes
            pass
        if code and code not in _RESTARTS and code not in (_SOI, _TEM):
            return code


def _scan_components(reader: Reader) -> int:
    """How many components the scan holds whose marker was just read."""
    return reader.take(3)[2] if reader.left > 2 else 0  # noqa: PLR2004 - length, count


def _frame_size(segment: bytes) -> tuple[int, int]:
    if len(segment) < 6:  # noqa: PLR2004 - precision, height, width, components
        raise damaged("The JPEG has a frame header that is too short.")
    return int.from_bytes(segment[3:5], "big"), int.from_bytes(segment[1:3], "big")


def _ends_whole(reader: Reader) -> bool:
    """Whether the file ends with an end marker, which then need not be searched for; whether
    something is missing before it is the decoder's to find."""
    here = reader.position
    if reader.left < len(_END):
        return False
    reader.jump(reader.size - len(_END))
    whole = reader.take(len(_END)) == _END
    reader.jump(here)
    return whole


def _require_end(reader: Reader) -> bytes:
    """What was read after the end marker. Coded data never contains it: the first is the real one.

    A second picture after this one has an end of its own, so the search stops at the first.
    """
    tail = b""
    while reader.left:
        chunk = tail + reader.take_some(_CHUNK)
        if (at := chunk.find(_END)) >= 0:
            return chunk[at + len(_END) :]
        tail = chunk[-1:]
    raise damaged("The JPEG is truncated: it has no end marker.")


def _mentions_gain_map(reader: Reader, data: bytes) -> bool:
    """Whether ``data`` or the rest of the file does."""
    overlap = max(map(len, _GAIN_MAPS))
    while True:
        if any(sign in data for sign in _GAIN_MAPS):
            return True
        if not reader.left:
            return False
        data = data[-overlap:] + reader.take_some(_CHUNK)
