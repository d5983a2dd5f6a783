"""What a file says twice is judged twice.

A header parser reads the size that a decoder will go by; other parts of the file may ask for more:
a frame that is larger than its canvas, a picture inside the picture, a thousand passes over one.
Whatever they say here must be within the same limits. Pure Python, bounded work, no pixels.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from encoders.errors import damaged
from encoders.header import Header
from encoders.headers import av1, heif_items, hevc
from encoders.limits import Limits
from encoders.reader import Reader

MAX_SCANS = 100
"""Each scan of a JPEG is a pass over all of its pixels. libjpeg's own tools write at most 100
(MAX_SCANS of rdswitch.c), and the usual script for a progressive file has 10."""

_DEFLATE_RATIO = 1032
"""What deflate can make of one byte at the most (zlib's technical notes)."""

_CHUNK = 1 << 20
_SCAN = b"\xff\xda"
_SIZE_PROPERTY = b"\0\0\0\x14ispe"
_EXTENDED, _FRAME, _ALPHA = b"VP8X", b"ANMF", b"ALPH"
_FRAME_BYTES = 16
_MOST_TIMES, _PADDING = 2, 64
"""A coded side to the side that the file says: layers may be one half, and blocks are whole."""
_FCTL_BYTES = 26


def double_check(path: Path, header: Header, limits: Limits) -> None:
    """Raise PictureError if another part of the file at ``path`` asks for more than its header."""
    check = _CHECKS.get(header.format)
    if check:
        with path.open("rb") as file:
            check(Reader(file, path.stat().st_size), header, limits)


def _jpeg(reader: Reader, header: Header, _limits: Limits) -> None:
    """Not more than some scans. Of a sequential file whose first scan holds every component libjpeg
    takes no second one (jdinput.c, JERR_EOI_EXPECTED), so that most files need not be read."""
    if header.one_scan:
        return
    scans, tail = 0, b""
    while reader.left:
        chunk = tail + reader.take_some(_CHUNK)
        scans += chunk.count(_SCAN)
        tail = chunk[-1:]
        if scans > MAX_SCANS:
            raise damaged(f"The JPEG is made of more than {MAX_SCANS} scans.")


def _png(reader: Reader, header: Header, limits: Limits) -> None:
    """One IHDR; enough data; each frame (fcTL) on the canvas, and not more of them than allowed."""
    reader.skip(8)
    headers = frames = data = bits = 0
    animated = False
    while reader.left:
        length, name = reader.uint(4), reader.take(4)
        headers += name == b"IHDR"
        if headers > 1:
            raise damaged("The PNG has a second header (IHDR).")
        if name == b"IEND":
            break
        if name == b"IHDR":
            reader.skip(8)
            bits, length = reader.uint(1), length - 9
        data += length * (name == b"IDAT")
        animated = animated or name == b"acTL"
        if animated and name == b"fcTL" and length == _FCTL_BYTES:
            frames += 1
            width, height, left, top = _numbers(reader.take(length)[4:20], 4, "big")
            _require_inside(header, (left, top, width, height))
            limits.check_frames(frames)
            length = 0
        reader.skip(length + 4)
    if data * _DEFLATE_RATIO < header.width * header.height * bits // 8:
        raise damaged("The PNG has far less data than its size needs.")


def _gif(reader: Reader, header: Header, limits: Limits) -> None:
    """Each frame within the largest canvas; where frames stick out, decoders enlarge it."""
    # Its walk over the blocks is the parser's; only the places of the frames are looked at here.
    from encoders.headers import gif  # noqa: PLC0415 - as seldom as a GIF

    for left, top, width, height in gif.places(reader):
        canvas = max(header.width, left + width), max(header.height, top + height)
        limits.check(Header("gif", *canvas, header.frames))


def _webp(reader: Reader, header: Header, _limits: Limits) -> None:
    """The frames lie on the canvas, and the data of each has its size."""
    reader.skip(12)
    still = (0, 0, header.width, header.height)
    while reader.left >= 8:  # noqa: PLR2004 - the bytes of a chunk header
        name, length = reader.take(4), reader.uint(4, "little")
        following = reader.position + length + (length & 1)
        if name == _FRAME and length >= _FRAME_BYTES:
            _webp_frame(reader, header)
        elif name in _DATA_SIZES:
            _require_size(reader, name, still)
        reader.jump(min(following, reader.size))


def _webp_frame(reader: Reader, header: Header) -> None:
    left, top, width, height = _numbers(reader.take(_FRAME_BYTES)[:12], 3, "little")
    place = (left * 2, top * 2, width + 1, height + 1)
    _require_inside(header, place)
    name, length = reader.take(4), reader.uint(4, "little")
    if name == _ALPHA:
        reader.skip(length + (length & 1))
        name, length = reader.take(4), reader.uint(4, "little")
    if name in _DATA_SIZES:
        _require_size(reader, name, place)


def _require_size(reader: Reader, name: bytes, place: tuple[int, int, int, int]) -> None:
    if _DATA_SIZES[name](reader.take_some(10)) != place[2:]:
        raise damaged("The WebP holds a picture of another size than it says.")


def _require_inside(header: Header, place: tuple[int, int, int, int]) -> None:
    left, top, width, height = place
    if left + width > header.width or top + height > header.height:
        raise damaged("The animation has a frame that is larger than its canvas.")


def _heif(reader: Reader, header: Header, limits: Limits) -> None:
    """All sizes that are given, and those of the coded data: of tiles, thumbnails, alpha."""
    _heif_properties(reader, header, limits)
    reader.jump(0)
    if heif_items.most_pixels(reader) > _MOST_TIMES * limits.max_pixels:
        raise damaged("The file has a picture that is made of absurdly many others.")
    reader.jump(0)
    for each in heif_items.coded(reader):
        told = [
            (int.from_bytes(body[4:8]), int.from_bytes(body[8:12]))
            for name, body in each.properties
            if name == b"ispe"
        ]
        promised = told[0] if told else (header.width, header.height)
        for size in _coded_sizes(each):
            limits.check(Header(header.format, *size))
            if any(a > _MOST_TIMES * b + _PADDING for a, b in zip(size, promised, strict=True)):
                raise damaged("The coded picture is far larger than the file says.")


def _coded_sizes(each: heif_items.Coded) -> Iterator[tuple[int, int]]:
    if each.kind == b"av01":
        yield from av1.sizes(each.payload)
        return
    for name, config in each.properties:
        if name == b"hvcC":
            yield from hevc.configured_sizes(config)
            yield from hevc.sizes(each.payload, config)


def _heif_properties(reader: Reader, header: Header, limits: Limits) -> None:
    tail = b""
    while reader.left:
        chunk = tail + reader.take_some(_CHUNK)
        at = chunk.find(_SIZE_PROPERTY)
        while at >= 0 and at + 20 <= len(chunk):
            width, height = _numbers(chunk[at + 12 : at + 20], 4, "big")
            limits.check(Header(header.format, width, height))
            at = chunk.find(_SIZE_PROPERTY, at + 1)
        tail = chunk[-19:]


def _numbers(data: bytes, size: int, order: Literal["little", "big"]) -> list[int]:
    return [int.from_bytes(data[at : at + size], order) for at in range(0, len(data), size)]


def _lossy_size(data: bytes) -> tuple[int, int]:
    width, height = _numbers(data[6:10].ljust(4, b"\0"), 2, "little")
    return width & 0x3FFF, height & 0x3FFF


def _lossless_size(data: bytes) -> tuple[int, int]:
    bits = int.from_bytes(data[1:5], "little")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


_DATA_SIZES = {b"VP8 ": _lossy_size, b"VP8L": _lossless_size}
_CHECKS: dict[str, Callable[[Reader, Header, Limits], None]] = {
    "jpeg": _jpeg,
    "png": _png,
    "gif": _gif,
    "webp": _webp,
    "avif": _heif,
    "heic": _heif,
}
