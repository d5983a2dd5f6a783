"""PNG files chunk by chunk, as Pillow would not write them."""

import struct
import zlib

from PIL import Image


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def ihdr(width: int, height: int, bits: int = 1, kind: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))


def lines(image: Image.Image) -> bytes:
    """All rows of 8-bit pixels, each after its filter byte: unfiltered."""
    rows, step = image.tobytes(), image.width * len(image.getbands())
    return b"".join(b"\0" + rows[at : at + step] for at in range(0, len(rows), step))


def idat(rows: bytes) -> bytes:
    """``rows`` have their filter bytes."""
    return chunk(b"IDAT", zlib.compress(rows, 9))


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")
