"""TIFF, written by Pillow (libtiff)."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from encoders.picture import Picture
    from encoders.plan import Settings

_DEFLATE_UP_TO = 5
_PREDICTOR, _HORIZONTAL = 317, 2
_XMP = 700
"""Tags of TIFF 6.0; differences to the pixel before make photos smaller by a third."""
_KEPT = (270, 271, 272, 274, 282, 283, 296, 305, 306, 315, 33432)
"""Tags of EXIF that TIFF has too: description, make, model, orientation, resolution (x, y, unit),
software, date, artist, copyright. Others describe the pixels of another file."""


class Tiff:
    """Lossless, so quality has no meaning. Speed 0-5 is Deflate, 6-10 LZW, both with predictor.

    Of EXIF the main directory is kept (``_KEPT``): libtiff, as Pillow drives it, cannot write
    the directories below it (camera settings, GPS).
    """

    name = "tiff"
    extension = "tiff"
    media_type = "image/tiff"
    settings = frozenset({"speed"})
    alpha = True
    animated = False
    embeds = frozenset({"profile", "exif", "xmp"})

    def encode(self, picture: "Picture", path: Path, settings: "Settings") -> None:
        """See ``encoders.encoder.Encoder``."""
        from PIL.Image import Exif  # noqa: PLC0415 - native code only where it encodes

        given = Exif()
        given.load(picture.exif or b"")
        tags = Exif()
        tags.update({tag: given[tag] for tag in _KEPT if tag in given})
        tags[_PREDICTOR] = _HORIZONTAL
        if picture.xmp:
            tags[_XMP] = picture.xmp
        # libtiff writes to a file behind Python's back, where a full disk has no number.
        buffer = io.BytesIO()
        picture.image.save(
            buffer,
            "TIFF",
            compression="tiff_adobe_deflate" if settings.speed <= _DEFLATE_UP_TO else "tiff_lzw",
            tiffinfo=tags,
            icc_profile=picture.profile,
        )
        path.write_bytes(buffer.getbuffer())
