"""Lanczos by the fastest kernel at hand.

fast_image_resize (through ``cykooz-resizer``) does what Pillow does with the machine's vector
instructions: 2041 x 1149 to 1600 x 900 in 7 ms of CPU instead of 58, 1155 x 650 to 800 x 450 in 3
instead of 18, no value further apart than 5 of 255 (enlarged, 12). Its wheels are for x86-64;
elsewhere, and in the modes that it does not know, Pillow resizes.
"""

from PIL import Image as Pillow

from encoders.geometry import Area, Size

try:
    from cykooz_resizer import (
        CropBox,
        FilterType,
        ResizeAlg,
        ResizeOptions,
        Resizer,
    )
except ImportError:
    Resizer = None

KNOWN = frozenset({"L", "RGB", "RGBA", "CMYK"})
"""Modes of the fast kernel; it premultiplies RGBA, so that edges do not bleed."""

_GAP = 2.0
"""Pillow alone: far larger pictures are first averaged in whole squares of pixels, down to this
many times the target. 12 megapixels to 800: 56 ms instead of 133, SSIM 0.9994 instead of 0.9996;
1.5: 0.9988."""


def resample(image: Pillow.Image, size: Size, area: Area) -> Pillow.Image:
    """``area`` of ``image`` at ``size``; alpha is kept from bleeding into the colours."""
    if Resizer is not None and image.mode in KNOWN:
        return _fast(image, size, area)
    if image.mode == "RGBA":
        # Pillow would premultiply too, but ignore the gap.
        return _plain(image.convert("RGBa"), size, area).convert("RGBA")
    return _plain(image, size, area)


def _fast(image: Pillow.Image, size: Size, area: Area) -> Pillow.Image:
    left, top, right, bottom = area
    target = Pillow.new(image.mode, size)
    options = ResizeOptions(
        resize_alg=ResizeAlg.convolution(FilterType.lanczos3),
        crop_box=CropBox(left, top, right - left, bottom - top),
    )
    # A resizer keeps its buffers; a new one leaves none behind.
    Resizer().resize_pil(image, target, options)
    return target


def _plain(image: Pillow.Image, size: Size, area: Area) -> Pillow.Image:
    return image.resize(size, Pillow.Resampling.LANCZOS, box=area, reducing_gap=_GAP)
