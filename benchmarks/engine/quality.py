"""How near an output is to the picture it was made from: SSIM of luma.

Wang, Bovik, Sheikh, Simoncelli: "Image quality assessment: from error visibility to structural
similarity", IEEE Transactions on Image Processing 13 (4), 2004: Gaussian window of 11 x 11 pixels,
sigma 1.5, K1 0.01, K2 0.03. The reference is the full decode, brought to the output's size by
Lanczos in floating point.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[np.float64]

_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_RADIUS = 5
_WINDOW = np.exp(-(np.arange(-_RADIUS, _RADIUS + 1) ** 2) / (2 * 1.5**2))
_SAMPLED_FRAMES = 3

# One of the pictures has 100 megapixels.
Image.MAX_IMAGE_PIXELS = None


def similarity(source: Path, output: Path) -> float:
    """Mean SSIM of ``output``; of an animation, that of its first, middle and last frame."""
    with Image.open(output) as image:
        count = getattr(image, "n_frames", 1)
        picked = sorted({0, count // 2, count - 1})[:_SAMPLED_FRAMES]
        found = []
        for frame in picked:
            image.seek(frame)
            found.append(ssim(_luma(image), _reference(source, frame, image.size)))
    return float(np.mean(found))


def ssim(one: Plane, other: Plane) -> float:
    """Two planes of the same size, values 0 to 255."""
    mean_one, mean_other = _smooth(one), _smooth(other)
    spread_one = _smooth(one * one) - mean_one**2
    spread_other = _smooth(other * other) - mean_other**2
    shared = _smooth(one * other) - mean_one * mean_other
    above = (2 * mean_one * mean_other + _C1) * (2 * shared + _C2)
    below = (mean_one**2 + mean_other**2 + _C1) * (spread_one + spread_other + _C2)
    return float((above / below).mean())


@lru_cache(maxsize=64)
def _reference(source: Path, frame: int, size: tuple[int, int]) -> Plane:
    plane = _full(source, frame).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(plane, dtype=np.float64)


@lru_cache(maxsize=4)
def _full(source: Path, frame: int) -> Image.Image:
    with Image.open(source) as image:
        image.seek(frame)
        return _on_white(image).convert("L").convert("F")


def _luma(image: Image.Image) -> Plane:
    return np.asarray(_on_white(image).convert("L"), dtype=np.float64)


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _smooth(plane: Plane) -> Plane:
    window = _WINDOW / _WINDOW.sum()
    height, width = (side - 2 * _RADIUS for side in plane.shape)
    rows = sum(weight * plane[at : at + height] for at, weight in enumerate(window))
    smooth: Plane = sum(weight * rows[:, at : at + width] for at, weight in enumerate(window))
    return smooth
