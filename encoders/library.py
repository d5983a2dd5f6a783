"""Finds the installed ImageMagick before Wand looks for it."""

import ctypes
import os

from encoders.errors import PictureError

_SUFFIX_VARIABLE = "WAND_MAGICK_LIBRARY_SUFFIX"
_LIBRARIES = (
    ("-7.Q16HDRI", "10"),
    ("-7.Q16", "10"),
    ("-6.Q16", "6"),
    ("-6.Q16", "7"),
    ("-6.Q16HDRI", "7"),
)
"""Suffix and version of libMagickWand in Debian 12 and 13, Ubuntu 22.04 to 26.04, and Fedora."""


def load_decoders() -> None:
    """Import Wand and Pillow with every plug-in that is used.

    Left alone, Wand starts a compiler some hundred times to find its library; a known suffix
    spares that. Raises PictureError ``decoder_unavailable``.
    """
    os.environ[_SUFFIX_VARIABLE] = _installed_suffix()
    import wand.image  # noqa: F401, PLC0415 - reads the variable above
    from PIL import (  # noqa: PLC0415
        AvifImagePlugin,  # noqa: F401
        GifImagePlugin,  # noqa: F401
        Image,
        JpegImagePlugin,  # noqa: F401
        PngImagePlugin,  # noqa: F401
        TiffImagePlugin,  # noqa: F401
        WebPImagePlugin,  # noqa: F401
    )

    # Sizes are checked against the job's own limits before anything is decoded.
    Image.MAX_IMAGE_PIXELS = None


def _installed_suffix() -> str:
    for suffix, version in _LIBRARIES:
        try:
            ctypes.CDLL(f"libMagickWand{suffix}.so.{version}")
        except OSError:
            continue
        return suffix
    raise PictureError(
        "decoder_unavailable",
        "ImageMagick is not installed. On Debian 12 install the package libmagickwand-6.q16-6, "
        "on Debian 13 libmagickwand-7.q16-10, elsewhere ImageMagick's MagickWand library.",
    )
