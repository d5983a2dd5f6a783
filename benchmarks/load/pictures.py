"""Uploads of mixed sizes: one photo in several, each time with another content."""

import io
from collections.abc import Callable, Mapping
from functools import cache
from zlib import crc32

from benchmarks.engine.pictures import PHOTO, enlarged

Source = Callable[[int], bytes]
"""The upload of this number; no two are the same."""

_PNG_HEAD = 33  # signature and IHDR

# Megapixels, and how many of twenty have them: portraits, previews, the web's and a camera's.
SHARES: Mapping[float, int] = {0.05: 6, 0.3: 6, 2: 5, 6: 3}


@cache
def jpeg(megapixels: float) -> bytes:
    """The photo in this size, with light noise so that it is not too smooth."""
    out = io.BytesIO()
    enlarged(PHOTO, megapixels * 1e6).save(out, "JPEG", quality=92)
    return out.getvalue()


def distinct(picture: bytes, number: int) -> bytes:
    """The same JPEG, PNG or WebP with another checksum, by a comment that nobody shows."""
    comment = f"{number:08d}".encode()
    if picture.startswith(b"\x89PNG"):
        chunk = b"tEXtComment\0" + comment
        text = (len(chunk) - 4).to_bytes(4, "big") + chunk + crc32(chunk).to_bytes(4, "big")
        return b"".join((picture[:_PNG_HEAD], text, picture[_PNG_HEAD:]))
    if picture.startswith(b"RIFF"):
        longer = (len(picture) - 8 + 8 + len(comment)).to_bytes(4, "little")
        chunk = b"NOTE" + len(comment).to_bytes(4, "little") + comment
        return b"".join((b"RIFF", longer, picture[8:], chunk))
    mark = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    return b"".join((picture[:2], mark, picture[2:]))


def variants_of(picture: bytes) -> Source:
    """One picture, each time with another checksum."""
    return lambda number: distinct(picture, number)


def sized(megapixels: float) -> Source:
    """The photo in one size."""
    return variants_of(jpeg(megapixels))


def mixed() -> Source:
    """Pictures of all sizes, well shuffled, and in the same order each time."""
    row = [jpeg(size) for size, count in SHARES.items() for _ in range(count)]
    # Seven has no divisor in common with twenty: all of them come before one comes again.
    return lambda number: distinct(row[number * 7 % len(row)], number)
