"""The last strokes on a picture that has its size: effects, margin, watermark."""

from PIL import Image as Pillow

from encoders.geometry import Layout
from encoders.look import Look

_OPAQUE = 255


def finish(image: Pillow.Image, layout: Layout, look: Look) -> Pillow.Image:
    """``image`` (mode RGB or RGBA) as ``look`` asks for it, laid on its canvas."""
    if layout.canvas != image.size:
        image = _on_canvas(image, layout, look)
    return image


def flatten(image: Pillow.Image, look: Look) -> Pillow.Image:
    """``image`` (mode RGBA) on the look's background, as RGB; what shines through that is white."""
    under = Pillow.new("RGBA", image.size, (255, 255, 255, _OPAQUE))
    under.alpha_composite(Pillow.new("RGBA", image.size, look.background))
    under.alpha_composite(image)
    return under.convert("RGB")


def _on_canvas(image: Pillow.Image, layout: Layout, look: Look) -> Pillow.Image:
    mode = "RGB" if image.mode == "RGB" and look.background[3] == _OPAQUE else "RGBA"
    canvas = Pillow.new(mode, layout.canvas, look.background[: len(mode)])
    canvas.paste(image, layout.offset)
    return canvas
