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
    """8-bit AVIF on one thread; ``quality`` is libavif's, 1 to 100, for colour and alpha alike.

    Speed 0-10 is libaom speed 4-10 (see ``_SPEEDS``). ``subsampling`` is 4:2:0 unless asked for.
    It cannot be lossless here: Pillow always converts to YCbCr (BT.601), so that even quality 100
    at 4:4:4 is off by up to 2 of 255.
    """

    name = "avif"
    extension = "avif"
    media_type = "image/avif"
    settings = frozenset({"quality", "speed", "subsampling"})
    alpha = True
    animated = False
    embeds = frozenset({"profile", "exif", "xmp"})

    def encode(self, picture: "Picture", path: Path, settings: "Settings") -> None:
        """See ``encoders.encoder.Encoder``."""
        picture.image.save(
            path,
            "AVIF",
            quality=settings.quality,
            speed=_SPEEDS[settings.speed],
            subsampling=settings.subsampling or "4:2:0",
            codec="aom",
            max_threads=1,
            icc_profile=picture.profile or b"",
            exif=picture.exif or b"",
            xmp=picture.xmp or b"",
        )
