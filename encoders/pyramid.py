"""One decoded picture in many sizes."""

from PIL import Image as Pillow

from encoders.color import to_srgb
from encoders.geometry import Area, Layout, Size, serves
from encoders.plan import Notice


class Pyramid:
    """Makes each distinct size once, from the smallest level that is large enough.

    Ask for the largest size first. Colours are converted after the first resize, where there are
    fewer pixels. Pillow resamples RGBA with premultiplied alpha, so edges do not bleed.
    """

    def __init__(
        self, image: Pillow.Image, profile: bytes | None, size: Size | None = None
    ) -> None:
        self._source = image
        self._size = size or image.size
        self._profile = profile
        self._levels: dict[Size, Pillow.Image] = {}
        self._parts: dict[tuple[Area | None, Size], Pillow.Image] = {}
        self.notice: Notice | None = None
        """Set when the colour profile could not be used."""

    @property
    def size(self) -> Size:
        """Width and height of the picture itself, which may have been shrunk on load."""
        return self._size

    def at(self, layout: Layout) -> Pillow.Image:
        """What ``layout`` cuts from the picture, at its size: mode RGB or RGBA, sRGB."""
        key = layout.crop, layout.size
        if key not in self._parts:
            self._parts[key] = self._make(layout)
        return self._parts[key]

    def _make(self, layout: Layout) -> Pillow.Image:
        whole = layout.whole(self._size)
        fitting = [level for level in self._levels if serves(level, whole)]
        if fitting:
            level = self._levels[min(fitting)]
            return _resize(level, layout.size, self._area_on(level, layout.crop))
        resized = _resize(self._source, layout.size, self._area_on(self._source, layout.crop))
        converted, notice = to_srgb(resized, self._profile)
        self.notice = notice or self.notice
        # Some writers store what they find here: the profile, EXIF, comments.
        converted.info.clear()
        if layout.crop is None:
            self._levels[layout.size] = converted
        return converted

    def _area_on(self, level: Pillow.Image, crop: Area | None) -> Area | None:
        """``crop``, which counts the picture's own pixels, in those of ``level``."""
        if crop is None:
            return None
        across = level.width / self._size[0]
        down = level.height / self._size[1]
        left, top, right, bottom = crop
        return left * across, top * down, right * across, bottom * down


def _resize(image: Pillow.Image, size: Size, area: Area | None) -> Pillow.Image:
    if image.size == size and area is None:
        return image
    return image.resize(size, Pillow.Resampling.LANCZOS, box=area)
