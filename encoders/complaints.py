"""What ImageMagick found wrong with a picture that it decoded all the same.

A truncated JPEG is filled up with grey and only warned about, and version 6 keeps the warning at
the image, where Wand does not look. Most warnings are harmless (odd XMP, a broken EXIF block), so
only those of the JPEG library that mean missing or wrong pixels count.
"""

import ctypes
import re
from typing import Any

from wand.api import libmagick, library
from wand.image import Image

_MISSING_PIXELS = re.compile(
    r"premature end of (?:jpeg file|data segment)|bad (?:huffman|arithmetic) code"
    r"|found marker \S+ instead",
    re.IGNORECASE,
)


class _ExceptionInfo(ctypes.Structure):
    """The leading members of MagickCore's ExceptionInfo, the same in versions 6 and 7."""

    _fields_ = [
        ("severity", ctypes.c_int),
        ("error_number", ctypes.c_int),
        ("reason", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
    ]


_Pointer = ctypes.POINTER(_ExceptionInfo)


def complaint_of(image: Image) -> str | None:
    """The worst complaint about missing pixels, in the decoder's own words, or None."""
    match = _MISSING_PIXELS.search(_image_exception(image))
    return match.group(0).lower() if match else None


def _image_exception(image: Image) -> str:
    """Version 6 only: version 7 hands its warnings to Wand, which raises them."""
    if not hasattr(libmagick, "GetImageException"):
        return ""
    _declare(libmagick)
    info = libmagick.AcquireExceptionInfo()
    try:
        libmagick.GetImageException(library.GetImageFromMagickWand(image.wand), info)
        return (info.contents.reason or b"").decode(errors="replace")
    finally:
        libmagick.DestroyExceptionInfo(info)


def _declare(core: Any) -> None:
    core.AcquireExceptionInfo.argtypes = ()
    core.AcquireExceptionInfo.restype = _Pointer
    core.GetImageException.argtypes = (ctypes.c_void_p, _Pointer)
    core.GetImageException.restype = None
    core.DestroyExceptionInfo.argtypes = (_Pointer,)
    core.DestroyExceptionInfo.restype = ctypes.c_void_p
    library.GetImageFromMagickWand.argtypes = (ctypes.c_void_p,)
    library.GetImageFromMagickWand.restype = ctypes.c_void_p
