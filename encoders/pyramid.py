"""One decoded picture in many sizes."""

from PIL import Image as Pillow

from encoders.color import to_srgb
from encoders.geometry import Area, Layout, Size, serves
from encoders.plan import Notice
from encoders.resample import resample
from encoders.slack import NONE, Slack, inner


class Pyramid:
    """Makes each distinct size once, from the smallest level that is large enough.

    Ask for the largest size first. Colours are converted after the first resize, where there are
    fewer pixels.
    """

    def __init__(
        self,
        image: Pillow.Image,
        profile: bytes | None,
        size: Size | None = None,
        slack: Slack = NONE,
    ) -> None:
        self._source = image
        self._profile = profile
        self._covered = inner(image.size, slack)
        self.size = size or image.size
        """Width and height of the picture itself, of which ``image`` may be a smaller decode."""
        self._levels: dict[Size, Pillow.Image] = {}
        self._parts: dict[tuple[Area | None, Size], Pillow.Image] = {}
        self.notice: Notice | None = None
        """Set when the colour profile could not be used."""

    def at(self, layout: Layout) -> Pillow.Image:
        """What ``layout`` cuts from the picture, at its size: mode RGB or RGBA, sRGB."""
        key = layout.crop, layout.size
        if key not in self._parts:
            self._parts[key] = self._make(layout)
        return self._parts[key]

    def _make(self, layout: Layout) -> Pillow.Image:
        whole = layout.whole(self.size)
        fitting = [level for level in self._levels if serves(level, whole)]
        if fitting:
            level = self._levels[min(fitting)]
            return _resize(level, layout.size, self._area(layout.crop, inner(level.size, NONE)))
        resized = _resize(self._source, layout.size, self._area(layout.crop, self._covered))
        converted, notice = to_srgb(resized, self._profile)
        self.notice = notice or self.notice
        # Some writers store what they find here: the profile, EXIF, comments.
        converted.info.clear()
        if layout.crop is None:
            self._levels[layout.size] = converted
        return converted

    def _area(self, crop: Area | None, covered: Area) -> Area:
        """``crop``, in pixels of the picture, on an image of which it covers ``covered``."""
        if crop is None:
            return covered
        across = (covered[2] - covered[0]) / self.size[0]
        down = (covered[3] - covered[1]) / self.size[1]
        left, top, right, bottom = crop
        return (
            covered[0] + left * across,
            covered[1] + top * down,
            min(covered[0] + right * across, covered[2]),
            min(covered[1] + bottom * down, covered[3]),
        )


def _resize(image: Pillow.Image, size: Size, area: Area) -> Pillow.Image:
    if image.size == size and area == inner(size, NONE):
        return image
    return resample(image, size, area)
