"""Pictures with pixels missing although every container says that it is whole."""

import io
import struct
import zlib

from PIL import Image

from tests.encoders.heif import coded_part
from tests.encoders.pictures import IMAGES
from tests.encoders.png import chunk, ihdr, lines
from tests.encoders.png import png as chunks


def photo(*size: int) -> Image.Image:
    with Image.open(IMAGES / "wil_people.jpg") as image:
        return image.convert("RGB").resize(size or (300, 200))


def saved(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image or photo()).save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(progressive: bool, mode: str = "RGB") -> bytes:
    data = saved("JPEG", photo().convert(mode), quality=90, progressive=progressive)
    return data[: len(data) * 6 // 10] + b"\xff\xd9"


def webp(lossless: bool, chunk_too: bool) -> bytes:
    data = saved("WEBP", lossless=lossless, quality=80)
    cut = bytearray(data[: len(data) * 6 // 10 & ~1])
    cut[4:8] = struct.pack("<I", len(cut) - 8)
    if chunk_too:
        cut[16:20] = struct.pack("<I", len(cut) - 20)
    return bytes(cut)


def gif() -> bytes:
    """The frame's sub-blocks are cut and closed."""
    data = saved("GIF", photo().quantize(256))
    start = data.index(b"\x2c\0\0\0\0") + 10
    if data[start - 1] & 0x80:
        start += 3 << ((data[start - 1] & 7) + 1)
    at = start + 1
    while at < len(data) * 6 // 10:
        at += data[at] + 1
    return data[:at] + b"\0\x3b"


def png(mode: str, ended: bool, blank: bool = False) -> bytes:
    """Six tenths of the rows; the compressed stream is closed or breaks off."""
    image = photo().convert(mode)
    if blank:
        image = Image.new(mode, image.size)
    rows = lines(image)
    stream = zlib.compress(rows[: len(rows) * 6 // 10])
    kind = {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}[mode]
    return chunks(ihdr(*image.size, 8, kind), chunk(b"IDAT", stream if ended else stream[:-20]))


def tiff(compression: str) -> bytes:
    """The directory is at the front, the last strips are not there."""
    data = saved("TIFF", compression=compression)
    (start,) = struct.unpack_from("<I", data, 4)
    if start > len(data) // 2:
        directory = data[start:]
        return _moved(data[:start], directory, start)
    return data[: len(data) * 6 // 10]


def _moved(strips: bytes, directory: bytes, start: int) -> bytes:
    """Strips are cut to six tenths, and zeros' place is taken by nothing: offsets now point at
    the directory or over the end."""
    gone = start * 4 // 10
    moved = bytearray(directory)
    (count,) = struct.unpack_from("<H", moved, 0)
    for index in range(count):
        at = 2 + index * 12
        kind, number, value = struct.unpack_from("<HII", moved, at + 2)
        size = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8}.get(kind, 1) * number
        if size > 4 and value >= start:
            struct.pack_into("<I", moved, at + 8, value - gone)
    return strips[:4] + struct.pack("<I", start - gone) + strips[8 : start - gone] + bytes(moved)


def avif() -> bytes:
    return coded_part(saved("AVIF", quality=80), 0.6)


def heic() -> bytes:
    return coded_part((IMAGES / "own_quarters.heic").read_bytes(), 0.6)


DAMAGED = {
    "jpeg": lambda: jpeg(progressive=False),
    "jpeg progressive": lambda: jpeg(progressive=True),
    "jpeg grey": lambda: jpeg(progressive=False, mode="L"),
    "jpeg cmyk": lambda: jpeg(progressive=False, mode="CMYK"),
    "webp": lambda: webp(lossless=False, chunk_too=False),
    "webp chunk": lambda: webp(lossless=False, chunk_too=True),
    "webp lossless": lambda: webp(lossless=True, chunk_too=False),
    "webp lossless chunk": lambda: webp(lossless=True, chunk_too=True),
    "gif": gif,
    **{
        f"png {mode} {'ended' if ended else 'broken off'}": lambda m=mode, e=ended: png(m, e)
        for mode in ("L", "RGB", "LA", "RGBA")
        for ended in (True, False)
    },
    "png blank": lambda: png("RGB", ended=True, blank=True),
    **{
        f"tiff {name}": lambda n=name: tiff(n)
        for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    },
    "avif": avif,
    "heic": heic,
}
"""Name -> a function that makes the file."""
