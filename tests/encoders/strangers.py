"""What is no picture, or more than one: files for other programs, alone or inside a picture."""

import io
import struct
import zipfile

from tests.encoders.hostile import Made, riff_chunk, saved
from tests.encoders.png import chunk

MARK = b"<script>alert('pixerve')</script><?php system('id'); ?>"


def zipped() -> bytes:
    """An archive with a program in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("evil.php", MARK)
    return buffer.getvalue()


STRANGERS: dict[str, bytes] = {
    "mvg": b"push graphic-context\nimage over 0,0 0,0 '/etc/passwd'\npop graphic-context",
    "msl": b'<image><read filename="/etc/passwd"/><write filename="/tmp/x"/></image>',
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "svg after a comment": b"<!-- \xff\xd8\xff --><svg xmlns='http://www.w3.org/2000/svg'/>",
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file",
    "dos eps": b"\xc5\xd0\xd3\xc6" + bytes(28),
    "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj",
    "html": b"<!DOCTYPE html><html><img src=x onerror=alert(1)></html>",
    "php": b"<?php system($_GET['c']); ?>",
    "elf": b"\x7fELF\x02\x01\x01" + bytes(60),
    "shell": b"#!/bin/sh\nid\n",
    "bmp": b"BM" + bytes(60),
    "ico": b"\0\0\1\0" + bytes(60),
    "psd": b"8BPS\0\1" + bytes(60),
    "webm": b"\x1aE\xdf\xa3" + bytes(60),
    "mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(60),
    "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60),
    "jpeg xl": b"\xff\x0a" + bytes(60),
    "bigtiff": b"II\x2b\0\x08\0\0\0" + bytes(60),
    "riff that is no webp": b"RIFF\x24\0\0\0WAVEfmt " + bytes(60),
    "text": b"text:/etc/passwd",
    "nothing": b"\0",
    "zip": zipped(),
}
"""No pictures at all, whatever their name says."""


def _png_text(content: bytes) -> bytes:
    """A PNG with text before its end and bytes behind it."""
    good = saved("PNG")
    return good[:-12] + chunk(b"tEXt", b"Comment\0" + content) + good[-12:] + content


def _gif_comment(content: bytes) -> bytes:
    """A GIF that is JavaScript too: its width and height read as the start of a comment."""
    good = bytearray(saved("GIF", mode="L"))
    return bytes(good[:-1]) + b"\x21\xfe" + bytes([len(content)]) + content + b"\0;" + content


def _jpeg_comment(content: bytes) -> bytes:
    good = saved("JPEG")
    length = struct.pack(">H", len(content) + 2)
    segments = b"\xff\xfe" + length + content + b"\xff\xef" + length + content
    return good[:2] + segments + good[2:] + content


def _webp_chunks(content: bytes) -> bytes:
    body = saved("WEBP")[12:] + riff_chunk(b"EVIL", content) + riff_chunk(b"XMP ", content)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body + content


def _tiff_tail(content: bytes) -> bytes:
    return saved("TIFF", description=content.decode()) + content


POLYGLOTS: dict[str, Made] = {
    "jpeg with a zip behind": lambda: saved("JPEG") + MARK + zipped(),
    "jpeg with html comments": lambda: _jpeg_comment(MARK),
    "png with php": lambda: _png_text(MARK),
    "gif with javascript": lambda: _gif_comment(MARK),
    "webp with foreign chunks": lambda: _webp_chunks(MARK),
    "tiff with html": lambda: _tiff_tail(MARK),
}
"""Good pictures with something else inside."""
