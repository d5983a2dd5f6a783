"""WebP (RFC 9649): RIFF chunks; simple files and extended ones with animation and EXIF."""

from collections.abc import Iterator

from encoders.blocks import EXIF_LIMIT, PROFILE_LIMIT, XMP_LIMIT, Blocks
from encoders.errors import damaged
from encoders.exif import PREFIX, UPRIGHT, orientation
from encoders.header import Header
from encoders.reader import Reader

_LIMITS = {b"ICCP": PROFILE_LIMIT, b"EXIF": EXIF_LIMIT, b"XMP ": XMP_LIMIT}
_LOSSY_START = b"\x9d\x01\x2a"
_LOSSLESS_START = 0x2F
_SIDE_BITS = 0x3FFF


def parse(reader: Reader) -> Header:
    """Size from VP8X, VP8 or VP8L, whichever comes first; frames are the ANMF chunks."""
    size: tuple[int, int] | None = None
    frames, turn, has_data = 0, UPRIGHT, False
    for name, length in _chunks(reader):
        if name in _SIZES and size is None:
            size = _SIZES[name](reader.take(10) if length >= 10 else b"")  # noqa: PLR2004
        elif name == b"EXIF" and length <= EXIF_LIMIT:
            turn = orientation(reader.take(length))
        frames += name == b"ANMF"
        has_data = has_data or name in (b"VP8 ", b"VP8L", b"ANMF")
    if size is None or not has_data:
        raise damaged("The WebP has no picture data.")
    return Header("webp", size[0], size[1], max(1, frames), turn)


def blocks(reader: Reader) -> Blocks:
    """Profile, EXIF and XMP."""
    found: dict[bytes, bytes] = {}
    for name, length in _chunks(reader):
        if name not in found and length <= _LIMITS.get(name, -1):
            found[name] = reader.take(length)
    exif = found.get(b"EXIF")
    exif = exif.removeprefix(PREFIX) if exif else None
    return Blocks(found.get(b"ICCP"), exif, found.get(b"XMP "))


def _chunks(reader: Reader) -> Iterator[tuple[bytes, int]]:
    """Name and length of each chunk; the caller may read as much of the body as is there."""
    reader.skip(4)
    end = reader.uint(4, "little") + 8
    if end > reader.size:
        raise damaged("The WebP is truncated: it is shorter than it says.")
    reader.skip(4)
    while end - reader.position >= 8:  # noqa: PLR2004 - the bytes of a chunk header
        name, length = reader.take(4), reader.uint(4, "little")
        following = reader.position + length + (length & 1)
        yield name, length
        reader.jump(min(following, reader.size))


def _extended(body: bytes) -> tuple[int, int]:
    return (
        int.from_bytes(body[4:7], "little") + 1,
        int.from_bytes(body[7:10], "little") + 1,
    )


def _lossy(body: bytes) -> tuple[int, int]:
    if body[3:6] != _LOSSY_START:
        raise damaged("The WebP picture data does not start with a key frame.")
    return (
        int.from_bytes(body[6:8], "little") & _SIDE_BITS,
        int.from_bytes(body[8:10], "little") & _SIDE_BITS,
    )


def _lossless(body: bytes) -> tuple[int, int]:
    if body[:1] != bytes((_LOSSLESS_START,)):
        raise damaged("The WebP lossless data has no signature.")
    bits = int.from_bytes(body[1:5], "little")
    return (bits & _SIDE_BITS) + 1, (bits >> 14 & _SIDE_BITS) + 1


_SIZES = {b"VP8X": _extended, b"VP8 ": _lossy, b"VP8L": _lossless}
