"""AVIF, written by Pillow (libaom): ImageMagick 6 drops alpha and ignores speed."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from encoders.picture import Picture
    from encoders.plan import Settings

_SPEEDS = (4, 5, 6, 6, 7, 8, 9, 9, 9, 9, 10)
"""libaom speed by speed. A photo of 800 x 653, quality 60: 4 3.2 s, 5 2.4 s, 6 0.52 s, 7 0.31 s,
8 0.21 s, 9 and 10 0.04 s, for at most 5 % more bytes. Slower than 4 (11 to 40 s) gains nothing."""


class Avif:
    """8-bit 4:2:0 AVIF on one thread; speed 0-10 is libaom speed 4-10 (see ``_SPEEDS``)."""

    name = "avif"
    extension = "avif"
    media_type = "image/avif"
    settings = frozenset({"quality", "speed"})
    alpha = True
    animated = False
    embeds: frozenset[str] = frozenset()

    def encode(self, picture: "Picture", path: Path, settings: "Settings") -> None:
        """See ``encoders.encoder.Encoder``."""
        picture.image.save(
            path,
            "AVIF",
            quality=settings.quality,
            speed=_SPEEDS[settings.speed],
            codec="aom",
            max_threads=1,
        )
