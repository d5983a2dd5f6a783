"""WebP by libwebp's own interface, straight to 8 bits and shrunk while it decodes.

Measured in CPU time, 6 megapixels to 1363 x 1113: 82 ms, by ImageMagick, which decodes all, 135 ms.
The library is the one that ImageMagick is linked to, so it is there wherever that can read WebP.
"""

import ctypes
import mmap
from pathlib import Path
from typing import Any

from PIL import Image

from encoders.decoders import Decoded
from encoders.geometry import Size
from encoders.header import Header

_ABI = 0x0209
"""WEBP_DECODER_ABI_VERSION of libwebp 1.0 to 1.6: the layout of the structures below."""
_MODES = ("RGB", "RGBA")
"""WEBP_CSP_MODE 0 and 1."""
_LARGEST_HALVING = 8


class _Features(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int) for name in ("width", "height", "alpha", "animation", "format")),
        ("pad", ctypes.c_uint32 * 5),
    )


class _Buffer(ctypes.Structure):
    """WebPDecBuffer, of whose union only the member for RGB is named."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("mode", "width", "height", "external")),
        ("pixels", ctypes.c_void_p),
        ("stride", ctypes.c_int),
        ("size", ctypes.c_size_t),
        ("union", ctypes.c_uint8 * 56),
        ("pad", ctypes.c_uint32 * 4),
        ("private", ctypes.c_void_p),
    )


class _Options(ctypes.Structure):
    _fields_ = (
        ("before", ctypes.c_int * 7),
        *((name, ctypes.c_int) for name in ("use_scaling", "scaled_width", "scaled_height")),
        ("after", ctypes.c_int * 4),
        ("pad", ctypes.c_uint32 * 5),
    )


class _Config(ctypes.Structure):
    _fields_ = (("input", _Features), ("output", _Buffer), ("options", _Options))


def decode(path: Path, header: Header, hint: Size) -> Decoded | None:
    """The still picture; an opaque lossy one halved while it is not below ``hint``.

    None for every file that is not perfect, and for animations. Raises MemoryError.
    """
    if _LIBRARY is None or header.frames > 1:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as data:
        view = (ctypes.c_ubyte * len(data)).from_buffer(data)
        try:
            return _decode(_LIBRARY, view, header, hint)
        finally:
            # The map cannot be closed while something looks into it.
            del view


def _decode(library: Any, data: Any, header: Header, hint: Size) -> Decoded | None:
    config = _Config()
    if not library.WebPInitDecoderConfigInternal(ctypes.byref(config), _ABI):
        return None
    if library.WebPGetFeaturesInternal(data, len(data), ctypes.byref(config.input), _ABI):
        return None
    if (config.input.width, config.input.height) != (header.width, header.height):
        return None
    # Scaled on load, colours would be mixed with those hidden under transparent pixels.
    size = (header.width, header.height)
    if not config.input.alpha:
        size = _halved(size, hint)
        options = config.options
        options.use_scaling, options.scaled_width, options.scaled_height = 1, *size
    mode = _MODES[bool(config.input.alpha)]
    pixels = bytearray(size[0] * size[1] * len(mode))
    _aim(config.output, pixels, size[0], mode)
    if library.WebPDecode(data, len(data), ctypes.byref(config)):
        return None
    return Decoded(Image.frombuffer(mode, size, pixels, "raw", mode, 0, 1))


def _aim(output: _Buffer, pixels: bytearray, width: int, mode: str) -> None:
    """Have the decoder write into ``pixels``."""
    place = (ctypes.c_ubyte * len(pixels)).from_buffer(pixels)
    output.mode = _MODES.index(mode)
    output.external = 1
    output.pixels = ctypes.addressof(place)
    output.stride, output.size = width * len(mode), len(pixels)


def _halved(stored: Size, hint: Size) -> Size:
    """Halves, quarters and eighths only: there the library's box filter is exact."""
    size, by = stored, 2
    while by <= _LARGEST_HALVING and all(
        side // by >= least for side, least in zip(stored, hint, strict=True)
    ):
        size, by = (-(-stored[0] // by), -(-stored[1] // by)), by * 2
    return size


def _library() -> Any:
    try:
        library = ctypes.CDLL("libwebp.so.7")
    except OSError:
        return None
    library.WebPInitDecoderConfigInternal.argtypes = (ctypes.c_void_p, ctypes.c_int)
    data = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    library.WebPGetFeaturesInternal.argtypes = (*data, ctypes.c_int)
    library.WebPDecode.argtypes = data
    return library


_LIBRARY = _library()
"""Loaded before the first picture is seen."""
