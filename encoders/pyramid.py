"""One decoded picture in many sizes."""

from PIL import Image as Pillow

from encoders.color import to_srgb
from encoders.geometry import Size, serves
from encoders.plan import Notice
from encoders.source import Source


class Pyramid:
    """Makes each distinct size once, from the smallest level that is large enough.

    Ask for the largest size first. Colours are converted after the first resize, where there are
    fewer pixels. Pillow resamples RGBA with premultiplied alpha, so edges do not bleed.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._levels: dict[Size, Pillow.Image] = {}
        self.notice: Notice | None = None
        """Set when the colour profile could not be used."""

    def at(self, size: Size) -> Pillow.Image:
        """The picture at ``size``: mode RGB or RGBA, sRGB."""
        if size not in self._levels:
            self._levels[size] = self._make(size)
        return self._levels[size]

    def _make(self, size: Size) -> Pillow.Image:
        fitting = [level for level in self._levels if serves(level, size)]
        if fitting:
            return _resize(self._levels[min(fitting)], size)
        converted, notice = to_srgb(_resize(self._source.image, size), self._source.profile)
        self.notice = notice or self.notice
        # Some writers store what they find here: the profile, EXIF, comments.
        converted.info.clear()
        return converted


def _resize(image: Pillow.Image, size: Size) -> Pillow.Image:
    if image.size == size:
        return image
    return image.resize(size, Pillow.Resampling.LANCZOS)
