"""JPEG, written by Pillow (libjpeg-turbo).

Measured at 800 x 653 pixels, quality 80: Pillow 1.8 ms plain and 4.2 ms with optimised tables;
ImageMagick 3.4 ms and 6.5 ms for the same bytes, most of it the way to 16 bits and back.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from encoders.picture import Picture
    from encoders.plan import Settings

_PROGRESSIVE_UP_TO = 3
_OPTIMISED_UP_TO = 7


class Jpg:
    """Baseline or progressive JPEG with 4:2:0 chroma.

    speed 0-3: progressive (about 6 % smaller, 10 ms); 4-7: optimised tables (1 % smaller, 4 ms);
    8-10: plain (2 ms).
    """

    name = "jpg"
    extension = "jpg"
    media_type = "image/jpeg"
    settings = frozenset({"quality", "speed"})
    alpha = False
    animated = False
    embeds: frozenset[str] = frozenset()

    def encode(self, picture: "Picture", path: Path, settings: "Settings") -> None:
        """See ``encoders.encoder.Encoder``."""
        # Given a file, Pillow's JPEG writer does not notice a full disk.
        buffer = io.BytesIO()
        picture.image.save(
            buffer,
            "JPEG",
            quality=settings.quality,
            progressive=settings.speed <= _PROGRESSIVE_UP_TO,
            optimize=settings.speed <= _OPTIMISED_UP_TO,
        )
        path.write_bytes(buffer.getbuffer())
