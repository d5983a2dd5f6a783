"""Pictures of many colours, and what littleCMS says of them."""

import io
import math

from PIL import Image, ImageCms

from encoders import icc

Colour = tuple[float, float, float]
SRGB = ImageCms.createProfile("sRGB")
TO_LAB = ImageCms.buildTransform(SRGB, ImageCms.createProfile("LAB"), "RGB", "LAB")
ADOBE_RGB = icc.from_gamma(2.19921875, (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06))
P3 = icc.from_code_points(12, 13)


def lab(image: Image.Image) -> Image.Image:
    return ImageCms.applyTransform(image, TO_LAB)


def delta_e(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """CIE 1976, from Pillow's 8-bit Lab (a and b are stored as themselves + 128)."""

    def real(value: tuple[int, ...]) -> Colour:
        return value[0] * 100 / 255, value[1] - 128, value[2] - 128

    return math.dist(real(one), real(other))


def checker(mode: str = "RGB") -> Image.Image:
    """Colours all over the cube, in patches of 16 x 16."""
    picture = Image.new("RGB", (16 * 16, 16 * 4))
    for index in range(64):
        colour = tuple(40 + 60 * (index >> shift & 3) for shift in (0, 2, 4))
        x, y = index % 16 * 16, index // 16 * 16
        picture.paste(colour, (x, y, x + 16, y + 16))
    return picture.convert(mode)


def patches(image: Image.Image) -> list[tuple[int, ...]]:
    return [image.getpixel((x, y)) for y in range(8, 64, 16) for x in range(8, 256, 16)]


def worst(made: Image.Image, expected: Image.Image) -> float:
    """The largest delta E (CIE 1976) of any patch."""
    pairs = zip(patches(lab(made)), patches(lab(expected)), strict=True)
    return max(delta_e(one, other) for one, other in pairs)


def by_littlecms(image: Image.Image, profile: bytes) -> Image.Image:
    given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.profileToProfile(image, given, SRGB, outputMode="RGB")
