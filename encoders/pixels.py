"""Pixels between ImageMagick and Pillow, 8 bits a channel, without a file format between them."""

import ctypes

from PIL import Image as Pillow
from wand.api import library
from wand.image import STORAGE_TYPES, Image

from encoders.errors import PictureError

_CHAR = STORAGE_TYPES.index("char")


def to_pillow(image: Image, mode: str) -> Pillow.Image:
    """The pixels of ``image`` as a Pillow picture of ``mode`` (RGB, RGBA or CMYK)."""
    width, height = image.size
    pixels = bytearray(width * height * len(mode))
    place = (ctypes.c_char * len(pixels)).from_buffer(pixels)
    if not library.MagickExportImagePixels(
        image.wand, 0, 0, width, height, mode.encode(), _CHAR, ctypes.byref(place)
    ):
        raise PictureError("out_of_memory", "The decoded picture does not fit into memory.")
    image.clear()
    return Pillow.frombuffer(mode, (width, height), pixels, "raw", mode, 0, 1)


def to_wand(picture: Pillow.Image) -> Image:
    """A new ImageMagick image with the pixels of ``picture`` (mode RGB or RGBA)."""
    image = Image()
    pixels = ctypes.c_char_p(picture.tobytes())
    if not library.MagickConstituteImage(
        image.wand,
        picture.width,
        picture.height,
        picture.mode.encode(),
        _CHAR,
        ctypes.cast(pixels, ctypes.c_void_p),
    ):
        raise PictureError("out_of_memory", "The picture does not fit into memory to be encoded.")
    image.depth = 8
    return image
