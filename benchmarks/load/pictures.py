"""Uploads of mixed sizes: one photo in several, each time with another content."""

import io
from collections.abc import Callable, Mapping
from functools import cache

from benchmarks.engine.pictures import PHOTO, enlarged

Source = Callable[[int], bytes]
"""The upload of this number; no two are the same."""

# Megapixels, and how many of twenty have them: portraits, previews, the web's and a camera's.
SHARES: Mapping[float, int] = {0.05: 6, 0.3: 6, 2: 5, 6: 3}


@cache
def jpeg(megapixels: float) -> bytes:
    """The photo in this size, with light noise so that it is not too smooth."""
    out = io.BytesIO()
    enlarged(PHOTO, megapixels * 1e6).save(out, "JPEG", quality=92)
    return out.getvalue()


def distinct(picture: bytes, number: int) -> bytes:
    """The same JPEG with another checksum: a comment segment behind the start marker."""
    comment = f"{number:08d}".encode()
    mark = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    return b"".join((picture[:2], mark, picture[2:]))


def sized(megapixels: float) -> Source:
    """Pictures of one size."""
    picture = jpeg(megapixels)
    return lambda number: distinct(picture, number)


def mixed() -> Source:
    """Pictures of all sizes, well shuffled, and in the same order each time."""
    row = [jpeg(size) for size, count in SHARES.items() for _ in range(count)]
    # Seven has no divisor in common with twenty: all of them come before one comes again.
    return lambda number: distinct(row[number * 7 % len(row)], number)
