"""The pictures that are converted: made once from a photo of the tests, always the same."""

import math
import random
from pathlib import Path

from PIL import Image, ImageDraw

from tests.server import IMAGES

PHOTO = IMAGES / "imn_large.jpg"

_NOISE = 0.06
_GRAIN = 0.16
"""Brings the deviation of uniform noise from 74 to 12 levels."""
_FRAMES = 24
_FRAME_SIZE = (480, 270)
_LANCZOS = Image.Resampling.LANCZOS


def make(folder: Path, name: str, photo: Path = PHOTO) -> Path:
    """The picture ``name``: "alpha" (PNG, 2 MP), "animation" (WebP), or megapixels of JPEG."""
    suffix = {"alpha": ".png", "animation": ".webp"}.get(name, ".jpg")
    path = folder / f"{photo.stem}-{name}{suffix}"
    if not path.exists():
        unfinished = path.with_name(f"unfinished{suffix}")
        {"alpha": _alpha, "animation": _animation}.get(name, _jpeg)(unfinished, name, photo)
        unfinished.replace(path)
    return path


def _jpeg(path: Path, megapixels: str, photo: Path) -> None:
    enlarged(photo, float(megapixels) * 1e6).save(path, "JPEG", quality=92)


def enlarged(photo: Path, pixels: float) -> Image.Image:
    """``photo`` at about ``pixels`` pixels, with light noise so that it is not too smooth."""
    with Image.open(photo) as source:
        scale = math.sqrt(pixels / (source.width * source.height))
        size = int(source.width * scale), int(source.height * scale)
        large = source.convert("RGB").resize(size, _LANCZOS)
    # Image.effect_noise would differ from run to run.
    grain = Image.frombytes("L", (1024, 1024), random.Random(1).randbytes(1 << 20))  # noqa: S311
    grain = grain.point(lambda value: 128 + (value - 128) * _GRAIN)
    noise = Image.new("L", size)
    for top in range(0, size[1], grain.height):
        for left in range(0, size[0], grain.width):
            noise.paste(grain, (left, top))
    return Image.blend(large, noise.convert("RGB"), _NOISE)


def _alpha(path: Path, _name: str, photo: Path) -> None:
    image = enlarged(photo, 2e6)
    mask = Image.new("L", (image.width // 4, image.height // 4))
    ImageDraw.Draw(mask).ellipse((20, 20, mask.width - 20, mask.height - 20), fill=255)
    image.putalpha(mask.resize(image.size, Image.Resampling.BICUBIC))
    image.save(path, "PNG", compress_level=6)


def _animation(path: Path, _name: str, photo: Path) -> None:
    """A walk across the photo, which changes every pixel in every frame."""
    image = enlarged(photo, 6e5)
    width, height = _FRAME_SIZE
    steps = [(8 * at, 4 * at) for at in range(_FRAMES)]
    frames = [image.crop((x, y, x + width, y + height)) for x, y in steps]
    frames[0].save(
        path, "WEBP", save_all=True, append_images=frames[1:], duration=40, quality=85, method=4
    )
