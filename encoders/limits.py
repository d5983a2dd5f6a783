"""How large a picture may be, and what its conversion may use."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from encoders.errors import PictureError
from encoders.header import Header

_MIB = 1024 * 1024

_IDLE_BYTES = 96 * _MIB
"""A child that has loaded everything, and the many small things of a conversion."""
_DECODED_BYTES = 21
"""Bytes a pixel at the peak of a decode. Measured with ImageMagick 6: 11 to 13, of which 8 are its
own; with version 7 those are 16."""
_COEFFICIENT_BYTES = 6
"""A progressive JPEG is kept whole (three channels of 16 bits), however small it is decoded."""
_FRAMES_AT_A_TIME = 2
_LOOK_BYTES = 4
_ENCODER_BYTES = {"jpg": 6, "png": 28, "webp": 26, "avif": 30, "gif": 28, "tiff": 28}
_ANY_ENCODER_BYTES = max(_ENCODER_BYTES.values())
"""Bytes a pixel that an encoder works with, beside the picture."""

_DECODED_PER_S = 400e6
_ENCODED_PER_S = {"jpg": 400e6, "png": 60e6, "webp": 100e6, "avif": 60e6}
_SLOW_AVIF_PER_S = (1.2e6, 1.6e6, 8e6, 8e6, 12e6, 20e6)
"""Pixels a second, by speed, of a machine much faster than those that were measured: a forecast
must not turn away what would have been done in time."""


class Output(NamedTuple):
    """One requested output: canonical format, size in pixels, frames, and speed (0 to 10)."""

    format: str
    width: int
    height: int
    frames: int = 1
    speed: int = 10

    @property
    def pixels(self) -> int:
        """Of all frames."""
        return self.width * self.height * self.frames


class Need(NamedTuple):
    """What a conversion will use of memory at its peak, and of CPU time at the least."""

    memory_bytes: int
    cpu_s: float


def need(header: Header, decoded: tuple[int, int], outputs: Sequence[Output], threads: int) -> Need:
    """What it takes to make ``outputs`` of a picture.

    ``decoded`` is the size that the picture is decoded at: less than its own where a JPEG is
    shrunk on load. ``threads`` outputs are encoded at a time. The figures are held true by
    tests/encoders/test_forecast.py.
    """
    frames = max((output.frames for output in outputs), default=0)
    source = decoded[0] * decoded[1]
    kept = header.width * header.height if header.format == "jpeg" and outputs else 0
    looks = {(each.width, each.height, each.frames): each.pixels for each in outputs}
    working = sorted(map(_working_bytes, outputs))
    memory = (
        _IDLE_BYTES
        + source * min(frames, _FRAMES_AT_A_TIME) * _DECODED_BYTES
        + kept * _COEFFICIENT_BYTES
        + sum(looks.values()) * _LOOK_BYTES
        + sum(working[-threads:])
    )
    return Need(memory, source * frames / _DECODED_PER_S + sum(map(_encode_s, outputs)))


def _working_bytes(output: Output) -> int:
    return output.width * output.height * _ENCODER_BYTES.get(output.format, _ANY_ENCODER_BYTES)


def _encode_s(output: Output) -> float:
    if output.format == "avif" and output.speed < len(_SLOW_AVIF_PER_S):
        return output.pixels / _SLOW_AVIF_PER_S[output.speed]
    return output.pixels / _ENCODED_PER_S.get(output.format, _DECODED_PER_S)


@dataclass(frozen=True)
class Limits:
    """Bounds of one conversion."""

    max_pixels: int = 100_000_000
    """Width x height, summed over frames."""
    max_side: int = 16_384
    """Pixels of the longer side."""
    max_frames: int = 500
    timeout_s: float = 300.0
    """Wall clock of one job, in seconds."""
    memory_bytes: int = 3072 * _MIB
    """Address space of the child process (RLIMIT_AS). 100 megapixels need about 2 GiB."""
    file_bytes: int = 512 * _MIB
    """Largest file that the child may write (RLIMIT_FSIZE)."""
    threads: int = 1
    """How many outputs may be encoded side by side: the worker's share of the cores."""

    def check(self, header: Header) -> None:
        """Raise PictureError side_too_long, too_many_frames or too_many_pixels."""
        if max(header.width, header.height) > self.max_side:
            raise PictureError(
                "side_too_long",
                f"The picture is {header.width} x {header.height} pixels; "
                f"a side may have {self.max_side}.",
            )
        self.check_frames(header.frames)
        pixels = header.width * header.height * header.frames
        if pixels > self.max_pixels:
            raise PictureError(
                "too_many_pixels",
                f"The picture has {pixels} pixels in all; at most {self.max_pixels} are allowed.",
            )

    def check_frames(self, frames: int) -> None:
        """Raise PictureError too_many_frames."""
        if frames > self.max_frames:
            raise PictureError(
                "too_many_frames",
                f"The picture has {frames} frames; at most {self.max_frames} are allowed.",
            )
