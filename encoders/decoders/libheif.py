"""The transparency of a HEIC, by libheif's own interface: ImageMagick 6 does not ask for it.

The library is the one that ImageMagick is linked to, so it is there wherever that can read HEIC.
The colours are decoded a second time on the way, which is what these few files cost.
"""

import ctypes
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from PIL import Image

from encoders.geometry import Size

_RGB, _RGBA, _INTERLEAVED = 1, 11, 10
"""heif_colorspace_RGB, heif_chroma_interleaved_RGBA and heif_channel_interleaved of heif.h."""


class _Error(ctypes.Structure):
    _fields_ = (("code", ctypes.c_int), ("subcode", ctypes.c_int), ("message", ctypes.c_char_p))


def with_alpha(image: Image.Image, path: Path) -> Image.Image:
    """``image`` (mode RGB) with the transparency of the file that it was decoded from.

    Unchanged where the library is missing or cannot read it. Raises MemoryError.
    """
    pixels = _decode(_LIBRARY, path, image.size) if _LIBRARY else None
    if pixels is None:
        return image
    found, is_premultiplied = pixels
    made = image.copy()
    made.putalpha(found.getchannel("A"))
    if is_premultiplied:
        made = Image.frombytes("RGBa", made.size, made.tobytes()).convert("RGBA")
    return made


def _decode(library: Any, path: Path, size: Size) -> tuple[Image.Image, bool] | None:
    """Mode RGBA, and whether its colours are multiplied by the transparency."""
    context, handle, image = (ctypes.c_void_p() for _ in range(3))
    with ExitStack() as held:
        context.value = library.heif_context_alloc()
        held.callback(library.heif_context_free, context)
        if library.heif_context_read_from_file(context, bytes(path), None).code:
            return None
        if library.heif_context_get_primary_image_handle(context, ctypes.byref(handle)).code:
            return None
        held.callback(library.heif_image_handle_release, handle)
        if library.heif_decode_image(handle, ctypes.byref(image), _RGB, _RGBA, None).code:
            return None
        held.callback(library.heif_image_release, image)
        found = _pixels(library, image, size)
        premultiplied = bool(library.heif_image_handle_is_premultiplied_alpha(handle))
    return (found, premultiplied) if found else None


def _pixels(library: Any, image: ctypes.c_void_p, size: Size) -> Image.Image | None:
    stride = ctypes.c_int()
    at = library.heif_image_get_plane_readonly(image, _INTERLEAVED, ctypes.byref(stride))
    width = library.heif_image_get_width(image, _INTERLEAVED)
    height = library.heif_image_get_height(image, _INTERLEAVED)
    if not at or (width, height) != size:
        return None
    return Image.frombytes(
        "RGBA", size, ctypes.string_at(at, stride.value * height), "raw", "RGBA", stride.value
    )


def _library() -> Any:
    try:
        library = ctypes.CDLL("libheif.so.1")
        library.heif_context_alloc.restype = ctypes.c_void_p
        pointer, number = ctypes.c_void_p, ctypes.c_int
        library.heif_context_read_from_file.argtypes = (pointer, ctypes.c_char_p, pointer)
        library.heif_context_get_primary_image_handle.argtypes = (pointer, pointer)
        library.heif_decode_image.argtypes = (pointer, pointer, number, number, pointer)
        for name in ("read_from_file", "get_primary_image_handle"):
            getattr(library, f"heif_context_{name}").restype = _Error
        library.heif_decode_image.restype = _Error
        library.heif_image_get_plane_readonly.argtypes = (pointer, number, pointer)
        library.heif_image_get_plane_readonly.restype = pointer
        for name in ("get_width", "get_height"):
            getattr(library, f"heif_image_{name}").argtypes = (pointer, number)
        # Since 1.11; older ones are left alone.
        library.heif_image_handle_is_premultiplied_alpha.argtypes = (pointer,)
    except (OSError, AttributeError):
        return None
    for name in ("context_free", "image_handle_release", "image_release"):
        getattr(library, f"heif_{name}").argtypes = (pointer,)
    return library


_LIBRARY = _library()
"""Loaded before the first picture is seen."""
