"""JPEG by libjpeg-turbo's own interface, straight to 8 bits and shrunk while it decodes.

Measured in CPU time, a photo of 6 megapixels: 44 ms in full and 37 ms at 1022 x 835, by ImageMagick
and its 16 bits 93 ms and 43 ms; 100 megapixels to 1398 x 1118: 121 ms and 44 MiB, by ImageMagick
133 ms and 66 MiB. The library is optional (Debian: libturbojpeg0); without it ImageMagick reads
JPEG too.
"""

import ctypes
import math
import mmap
from pathlib import Path
from typing import Any

from PIL import Image

from encoders.decoders import Decoded
from encoders.geometry import Size
from encoders.header import Header

_RGB = 0
_STOP_ON_WARNING = 8192
"""TJPF_RGB and TJFLAG_STOPONWARNING of turbojpeg.h: a bad Huffman code is only a warning."""
_INKS = frozenset({3, 4})
"""TJCS_CMYK and TJCS_YCCK: whether their inks are inverted is ImageMagick's to know."""
_SCALES = (1, 2, 3, 4, 8)
"""Eighths. The steps between have no vector code in libjpeg-turbo: 6 megapixels at 5/8 take 40 ms,
at 7/8 64 ms, and in full 28 ms."""
_SHRUNK_FROM = 500_000
"""Pixels. In a smaller picture the difference to a full decode could be seen (mean 1.2 of 255),
and there is little to gain."""
_SPARE = 1.25
"""Times the hint. SSIM before encoding, to 800 x 450: from 1.02 times that size 0.975, from 1.18
times 0.988, from 1.44 times 0.996, from twice 0.9985."""


def decode(path: Path, header: Header, hint: Size) -> Decoded | None:
    """The picture at the smallest eighth not below ``hint`` (stored width and height).

    None for every file that is not perfect, and for CMYK. Raises MemoryError.
    """
    if _LIBRARY is None:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as data:
        handle = _LIBRARY.tjInitDecompress()
        view = (ctypes.c_ubyte * len(data)).from_buffer(data)
        try:
            return _decode(_LIBRARY, handle, view, header, hint)
        finally:
            _LIBRARY.tjDestroy(handle)
            # The map cannot be closed while something looks into it.
            del view


def _decode(library: Any, handle: int, data: Any, header: Header, hint: Size) -> Decoded | None:
    width, height, subsampling, space = (ctypes.c_int() for _ in range(4))
    facts = [ctypes.byref(each) for each in (width, height, subsampling, space)]
    if library.tjDecompressHeader3(handle, data, len(data), *facts) or space.value in _INKS:
        return None
    if (width.value, height.value) != (header.width, header.height):
        return None
    size = scaled((header.width, header.height), hint)
    pixels = bytearray(size[0] * size[1] * 3)
    place = (ctypes.c_ubyte * len(pixels)).from_buffer(pixels)
    if library.tjDecompress2(
        handle, data, len(data), place, size[0], 0, size[1], _RGB, _STOP_ON_WARNING
    ):
        return None
    return Decoded(Image.frombuffer("RGB", size, pixels, "raw", "RGB", 0, 1))


def scaled(stored: Size, hint: Size) -> Size:
    """The smallest size, in eighths of ``stored``, that leaves some pixels for the resize to
    ``hint``. libjpeg rounds up: ``encoders.slack`` tells what of it is picture."""
    if stored[0] * stored[1] < _SHRUNK_FROM:
        return stored
    for eighths in _SCALES:
        width, height = (math.ceil(side * eighths / 8) for side in stored)
        if width >= _SPARE * hint[0] and height >= _SPARE * hint[1]:
            return width, height
    return stored


def _library() -> Any:
    try:
        library = ctypes.CDLL("libturbojpeg.so.0")
    except OSError:
        return None
    library.tjInitDecompress.restype = ctypes.c_void_p
    library.tjDestroy.argtypes = (ctypes.c_void_p,)
    data = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ulong)
    facts = (ctypes.POINTER(ctypes.c_int),) * 4
    library.tjDecompressHeader3.argtypes = (*data, *facts)
    library.tjDecompress2.argtypes = (*data, ctypes.c_void_p, *(ctypes.c_int,) * 5)
    return library


_LIBRARY = _library()
"""Loaded before the first picture is seen."""
