"""PNG, written by ImageMagick (libpng), which also finds the smallest lossless colour type."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from encoders.picture import Picture
    from encoders.plan import Settings

_LEVELS = (9, 9, 8, 7, 6, 5, 3, 3, 2, 1, 1)
"""zlib level by speed. A photo of 800 x 653: level 1 48 ms, 3 63 ms, 6 142 ms, 9 193 ms."""

_ADAPTIVE_FILTER = 5
_NO_CHUNKS = "bKGD,cHRM,date,eXIf,gAMA,iCCP,iTXt,oFFs,pHYs,sRGB,tEXt,tIME,vpAg,zTXt"


class Png:
    """Lossless, so quality has no meaning; speed 0-10 is zlib level 9-1 (see ``_LEVELS``)."""

    name = "png"
    extension = "png"
    media_type = "image/png"
    settings = frozenset({"speed"})
    alpha = True
    animated = False
    embeds: frozenset[str] = frozenset()

    def encode(self, picture: "Picture", path: Path, settings: "Settings") -> None:
        """See ``encoders.encoder.Encoder``."""
        from encoders.pixels import to_wand  # noqa: PLC0415 - native code only where it encodes

        with to_wand(picture.image) as image:
            image.options["png:compression-level"] = str(_LEVELS[settings.speed])
            image.options["png:compression-filter"] = str(_ADAPTIVE_FILTER)
            image.options["png:exclude-chunks"] = _NO_CHUNKS
            path.write_bytes(image.make_blob("png"))
