"""How large a picture may be, and what its conversion may use."""

from dataclasses import dataclass

from encoders.errors import PictureError
from encoders.header import Header

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Need:
    """What a conversion will use at its peak, and at the least of CPU time."""

    memory_bytes: int
    cpu_s: float


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
        if header.frames > self.max_frames:
            raise PictureError(
                "too_many_frames",
                f"The picture has {header.frames} frames; at most {self.max_frames} are allowed.",
            )
        pixels = header.width * header.height * header.frames
        if pixels > self.max_pixels:
            raise PictureError(
                "too_many_pixels",
                f"The picture has {pixels} pixels in all; at most {self.max_pixels} are allowed.",
            )
