"""A PNG with nothing but its pixels and colours, for ImageMagick.

It inflates and keeps every text: 6 MB of them cost half a minute, and one that claims to be a
profile a gigabyte. Texts, EXIF and XMP are read by ``encoders.headers.png`` where they are wanted.
"""

from collections.abc import Callable
from pathlib import Path

from encoders.headers.png import chunks
from encoders.reader import Reader

_DATA = b"IDAT"
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"sRGB", b"gAMA", b"cHRM"})
_OUTWEIGHED = frozenset({b"gAMA", b"cHRM"})
_END = bytes(4) + b"IEND" + bytes.fromhex("ae426082")
_SIGNATURE_BYTES, _CRC_BYTES = 8, 4
_PIECE = 1 << 18


def copy(path: Path, plain: Path) -> None:
    """Write ``plain``; the chunks are as they were, checksums included.

    Of each kind but IDAT the first is kept. Where there is sRGB, gAMA and cHRM say the same or
    nothing (PNG, third edition, section 4.3), but ImageMagick 7 takes the word of gAMA.
    Raises PictureError damaged_picture.
    """
    with path.open("rb") as file, plain.open("xb") as out:
        size = path.stat().st_size
        dropped = _OUTWEIGHED if _has_srgb(Reader(file, size)) else frozenset()
        file.seek(0)
        reader = Reader(file, size)
        out.write(reader.take(_SIGNATURE_BYTES))
        seen: set[bytes] = set()
        for name, length in chunks(reader):
            if name == _DATA or (name in _KEPT - dropped and name not in seen):
                out.write(length.to_bytes(4) + name)
                _pass_on(reader, out.write, length + _CRC_BYTES)
            else:
                reader.skip(length + _CRC_BYTES)
            seen.add(name)
        out.write(_END)


def _has_srgb(reader: Reader) -> bool:
    for name, length in chunks(reader):
        if name == b"sRGB":
            return True
        if name == _DATA:
            break
        reader.skip(length + _CRC_BYTES)
    return False


def _pass_on(reader: Reader, write: Callable[[bytes], object], count: int) -> None:
    while count:
        piece = reader.take(min(count, _PIECE))
        write(piece)
        count -= len(piece)
