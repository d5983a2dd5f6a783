"""CIE Lab to sRGB, by littleCMS."""

from functools import lru_cache

from PIL import Image, ImageCms


def from_lab(image: Image.Image) -> Image.Image:
    """``image``, whose red is L (0 to 255 for 0 to 100) and whose green and blue are a and b + 128
    (white point D50), as sRGB in the same mode, RGB or RGBA.
    """
    bands = image.split()
    lab = Image.merge("LAB", bands[:3])
    converted = ImageCms.applyTransform(lab, _transform()) or lab
    if image.mode == "RGBA":
        converted.putalpha(bands[3])
    return converted


@lru_cache(maxsize=1)
def _transform() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        ImageCms.createProfile("LAB", 5000), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )
