"""PNG, written by Pillow (zlib-ng).

Against ImageMagick (libpng), same zlib level, CPU and bytes: a drawing of 1200 x 800 20 to 34 ms
instead of 50 to 69 ms, 0.5 % smaller; photos the same time, from 0.5 % smaller to 3 % larger. And
it needs no second picture of 16 bits: 8 bytes for each pixel less.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.PngImagePlugin import PngInfo

    from encoders.picture import Picture
    from encoders.plan import Settings

_LEVELS = (9, 9, 8, 7, 6, 5, 3, 3, 2, 1, 1)
"""zlib level by speed. A photo of 800 x 450: level 1 34 ms, 3 44 ms, 6 105 ms, 9 351 ms (4 %
smaller than 1)."""

_MOST_COLORS = 256
_XMP_KEYWORD = "XML:com.adobe.xmp"


class Png:
    """Lossless, so quality has no meaning; ``colors`` makes a palette of 2 to 256 colours instead.

    With a palette the picture is dithered, transparency included. Without one, a picture of at most
    256 colours gets an exact palette, and a gray one gray pixels. Speed 0-10 is zlib level 9-1
    (see ``_LEVELS``).
    """

    name = "png"
    extension = "png"
    media_type = "image/png"
    settings = frozenset({"speed", "colors"})
    alpha = True
    animated = False
    embeds = frozenset({"profile", "exif", "xmp"})

    def encode(self, picture: "Picture", path: Path, settings: "Settings") -> None:
        """See ``encoders.encoder.Encoder``."""
        image, opacity = _smallest(picture, settings.colors)
        image.save(
            path,
            "PNG",
            compress_level=_LEVELS[settings.speed],
            transparency=opacity or None,
            icc_profile=picture.profile,
            exif=picture.exif or b"",
            pnginfo=_texts(picture.xmp),
        )


def _smallest(picture: "Picture", colors: int | None) -> tuple["Image", bytes]:
    """The kind of PNG for the picture, and the opacity of its palette."""
    image = picture.image
    from encoders.palette import indexed  # noqa: PLC0415 - native code only where it encodes

    if colors:
        return indexed(image, colors)
    # A profile describes RGB: it would not fit gray pixels.
    if not picture.profile and _is_gray(image):
        return image.convert("LA" if image.mode == "RGBA" else "L"), b""
    if image.getcolors(_MOST_COLORS):
        return indexed(image, _MOST_COLORS)
    return image, b""


def _is_gray(image: "Image") -> bool:
    """A small copy tells most coloured pictures; only then is every pixel looked at."""
    from PIL import ImageChops  # noqa: PLC0415 - native code only where it encodes

    for each in (image.reduce(max(1, min(image.size) // 16)), image):
        red, green, blue = each.split()[:3]
        if any(ImageChops.difference(red, other).getbbox() for other in (green, blue)):
            return False
    return True


def _texts(xmp: bytes | None) -> "PngInfo | None":
    from PIL.PngImagePlugin import PngInfo  # noqa: PLC0415 - native code only where it encodes

    if not xmp:
        return None
    info = PngInfo()
    info.add_itxt(_XMP_KEYWORD, xmp.decode("utf-8", "replace"))
    return info
