"""Colours to sRGB, with littleCMS."""

import io
from functools import lru_cache

from PIL import Image, ImageCms

from encoders.plan import Notice

_SPACES = {"CMYK": ("CMYK",), "RGB ": ("RGB", "RGBA"), "GRAY": ("RGB", "RGBA")}
"""Colour space of a profile -> the picture modes it can describe."""


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, Notice | None]:
    """``image`` (RGB, RGBA or CMYK; grey as RGB) as sRGB in mode RGB or RGBA.

    Without a profile RGB is taken for sRGB, and CMYK for plain inks. A profile that is broken, or
    of another kind of picture, is treated as missing and leads to a notice.
    """
    if not profile:
        return _guess(image), None
    try:
        return _convert(image, profile), None
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        message = f"The colour profile was not used, as it is broken or does not fit: {error}"
        return _guess(image), Notice("profile_ignored", message)


def describes_rgb(profile: bytes) -> bool:
    """Whether ``profile`` is whole, and one for RGB: only then can pixels be stored with it."""
    try:
        _transform(profile, "RGB", "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return False
    return True


def _guess(image: Image.Image) -> Image.Image:
    return image.convert("RGB") if image.mode == "CMYK" else image


def _convert(image: Image.Image, profile: bytes) -> Image.Image:
    source = _open(profile)
    space = source.profile.xcolor_space
    if image.mode not in _SPACES.get(space, ()):
        raise ValueError(f"it is for {space.strip()}, the picture is {image.mode}")
    if space == "GRAY":
        return _convert_gray(image, profile)
    out_mode = "RGB" if image.mode == "CMYK" else image.mode
    converted = ImageCms.applyTransform(image, _transform(profile, image.mode, out_mode))
    return converted or image


def _convert_gray(image: Image.Image, profile: bytes) -> Image.Image:
    """A grey profile describes one channel; the picture holds it three times."""
    red = image.getchannel("R")
    converted = ImageCms.applyTransform(red, _transform(profile, "L", "RGB")) or image
    if image.mode == "RGBA":
        converted.putalpha(image.getchannel("A"))
    return converted


@lru_cache(maxsize=8)
def _transform(profile: bytes, in_mode: str, out_mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        _open(profile),
        ImageCms.createProfile("sRGB"),
        in_mode,
        out_mode,
        ImageCms.Intent.PERCEPTUAL,
    )


def _open(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))
