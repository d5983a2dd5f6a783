"""WebP, written by Pillow, whose libwebp is newer than the one ImageMagick is linked to."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from encoders.picture import Picture
    from encoders.plan import Settings

_METHODS = (6, 5, 4, 4, 4, 2, 2, 2, 1, 1, 0)
"""libwebp method by speed. A photo of 800 x 653, quality 85: method 6 200 ms, 5 75 ms, 4 69 ms,
2 30 ms (same bytes as 4), 1 23 ms, 0 19 ms (28 % more bytes). 3 costs as much as 4."""

_OUT_OF_MEMORY = frozenset({"1", "2"})
_REASONS = {
    "5": "a side is longer than the 16383 pixels that WebP can hold",
    "6": "the picture has more detail than WebP can hold at this size",
    "7": "the picture has more detail than WebP can hold at this size",
}
"""WebPEncodingError of libwebp's encode.h."""


class Webp:
    """Lossy WebP with lossless alpha; speed 0-10 is method 6-0 (see ``_METHODS``)."""

    name = "webp"
    extension = "webp"
    media_type = "image/webp"
    settings = frozenset({"quality", "speed"})
    alpha = True
    animated = False
    embeds: frozenset[str] = frozenset()

    def encode(self, picture: "Picture", path: Path, settings: "Settings") -> None:
        """See ``encoders.encoder.Encoder``."""
        try:
            picture.image.save(
                path, "WEBP", quality=settings.quality, method=_METHODS[settings.speed]
            )
        except ValueError as error:
            raise _explained(error) from error


def _explained(error: ValueError) -> Exception:
    """libwebp gives a number; a person wants words."""
    number = str(error).rpartition(" ")[2]
    if number in _OUT_OF_MEMORY:
        return MemoryError()
    return ValueError(_REASONS.get(number, str(error)))
