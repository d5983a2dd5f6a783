"""The last strokes on a picture that has its size: effects, margin, watermark."""

from PIL import Image as Pillow
from PIL import ImageFilter

from encoders.geometry import Layout
from encoders.look import Look
from encoders.watermark import Watermarks

_OPAQUE = 255
_AWAY = 2.0
"""From the blurred pixel (0) past the sharp one (1): the gain of 1 that ImageMagick's -unsharp
has by default."""
_ENOUGH = 16
"""An opacity from which on a blurred colour can be told from its product with it."""


def finish(image: Pillow.Image, layout: Layout, look: Look, watermarks: Watermarks) -> Pillow.Image:
    """``image`` (mode RGB or RGBA) as ``look`` asks for it, laid on its canvas. It is not changed.

    Effects end at the picture's edge: they leave the background of a margin as it was asked for.
    The watermark has the whole canvas. Raises PictureError for a font that is gone.
    """
    if look.grayscale:
        image = _gray(image)
    if look.blur:
        image = _blurred(image, look.blur)
    if look.sharpen:
        image = _sharpened(image, look.sharpen)
    if layout.canvas != image.size:
        image = _on_canvas(image, layout, look)
    if look.watermark:
        image = watermarks.on(image, look.watermark)
    return image


def flatten(image: Pillow.Image, look: Look) -> Pillow.Image:
    """``image`` (mode RGBA) on the look's background, as RGB; what shines through that is white."""
    under = Pillow.new("RGBA", image.size, (255, 255, 255, _OPAQUE))
    under.alpha_composite(Pillow.new("RGBA", image.size, look.background))
    under.alpha_composite(image)
    return under.convert("RGB")


def _gray(image: Pillow.Image) -> Pillow.Image:
    """Luma by the weights of ITU-R BT.601 (Pillow's "L"), in all three channels."""
    return image.convert("L" if image.mode == "RGB" else "LA").convert(image.mode)


def _blurred(image: Pillow.Image, sigma: float) -> Pillow.Image:
    """By a Gaussian; colours count as much as they can be seen, so no hidden one spreads."""
    soften = ImageFilter.GaussianBlur(sigma)
    if image.mode == "RGB":
        return image.filter(soften)
    return image.convert("RGBa").filter(soften).convert("RGBA")


def _sharpened(image: Pillow.Image, sigma: float) -> Pillow.Image:
    """By an unsharp mask: a pixel is moved away from the blurred one by what it differs.

    Opacity stays. Colours are compared as they are seen, not multiplied by opacity: an edge of
    that is none of theirs.
    """
    soft = _blurred(image, sigma)
    sharp = Pillow.blend(soft, image, _AWAY)
    if image.mode == "RGB":
        return sharp
    told = soft.getchannel("A").point([_OPAQUE * (value >= _ENOUGH) for value in range(256)])
    made = Pillow.composite(sharp, image, told)
    made.putalpha(image.getchannel("A"))
    return made


def _on_canvas(image: Pillow.Image, layout: Layout, look: Look) -> Pillow.Image:
    mode = "RGB" if image.mode == "RGB" and look.background[3] == _OPAQUE else "RGBA"
    canvas = Pillow.new(mode, layout.canvas, look.background[: len(mode)])
    canvas.paste(image, layout.offset)
    return canvas
