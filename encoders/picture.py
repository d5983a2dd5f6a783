"""What an encoder is handed: finished pixels, and what is to be stored beside them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Frame:
    """One image of a picture, shown for ``duration_ms`` (0 for a still)."""

    image: "Image"
    duration_ms: int = 0


@dataclass(frozen=True)
class Picture:
    """One still or one animation, upright, 8 bits a channel, mode RGB or RGBA.

    All frames have one mode and size, and show the whole picture. ``loop`` counts how often an
    animation runs (0: for ever). ``profile`` (ICC), ``exif`` and ``xmp`` are there only where the
    client asked to keep them.
    """

    frames: tuple[Frame, ...]
    loop: int = 0
    profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None

    @property
    def image(self) -> "Image":
        """The picture, or the first frame of an animation."""
        return self.frames[0].image

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.size
