"""GIF (89a). The pixels are packed by Pillow (LZW); frames and palettes are ours.

Pillow's own animations give each frame a palette by median cut without dithering, and times that
are cut to centiseconds. Here a frame holds what has changed since the one before
(``encoders.gif_parts``).
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from encoders.picture import Frame, Picture
    from encoders.plan import Settings

_MOST_COLORS = 256
_SHORTEST, _LONGEST = 2, 65_535
"""Centiseconds. Browsers show a frame of 0 or 1 for 10."""
_TICK_MS = 10
_LONGEST_SIDE = 65_535
_MOST_REPEATS = 65_535
_TRAILER = b";"


class Gif:
    """GIF, still or animated, with at most ``colors`` (default 256) colours in each frame.

    A frame with more is dithered (Floyd-Steinberg). Where pixels are transparent one of the
    colours is given to that; opacity of a half and more is opaque, on the colour as it is. Neither
    quality nor speed has a meaning: LZW has no effort. Times are rounded to centiseconds, without
    the sum drifting, and none is below 2.
    """

    name = "gif"
    extension = "gif"
    media_type = "image/gif"
    settings = frozenset({"colors"})
    alpha = True
    animated = True
    embeds: frozenset[str] = frozenset()

    def encode(self, picture: "Picture", path: Path, settings: "Settings") -> None:
        """See ``encoders.encoder.Encoder``."""
        from encoders.gif_parts import parts  # noqa: PLC0415 - native code only where it encodes

        times = _ticks(picture.frames)
        with path.open("wb") as file:
            file.write(_screen(picture.size))
            if len(picture.frames) > 1:
                file.write(_loop(picture.loop))
            for part in parts(frame.image for frame in picture.frames):
                file.write(part.packed(next(times), settings.colors or _MOST_COLORS))
            file.write(_TRAILER)


def _screen(size: tuple[int, int]) -> bytes:
    """Signature and canvas, without a palette for all: each frame has its own."""
    if max(size) > _LONGEST_SIDE:
        raise ValueError("a side is longer than the 65535 pixels that GIF can hold")
    return b"GIF89a" + struct.pack("<HHBBB", *size, 0, 0, 0)


def _loop(runs: int) -> bytes:
    """The Netscape extension, which counts repeats: none for one run, 0 for ever."""
    if runs == 1:
        return b""
    repeats = min(max(0, runs - 1), _MOST_REPEATS)
    return b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", repeats, 0)


def _ticks(frames: tuple["Frame", ...]) -> Iterator[int]:
    """Centiseconds of each frame; what rounding takes or gives is made good in the next."""
    owed = 0
    for frame in frames:
        wanted = frame.duration_ms + owed
        ticks = min(max(_SHORTEST, round(wanted / _TICK_MS)), _LONGEST)
        owed = max(-_TICK_MS, min(wanted - ticks * _TICK_MS, _TICK_MS))
        yield ticks if len(frames) > 1 else 0
