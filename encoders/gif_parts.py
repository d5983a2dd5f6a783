"""What of each frame has to be drawn in a GIF. Native code: not for web processes.

A frame is drawn over the one before, so only its changes are stored; the rest is transparent. If a
pixel is to become transparent again, the frame before has to clear the canvas after its time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from PIL import Image as Pillow
from PIL import ImageChops
from PIL.GifImagePlugin import getdata

from encoders.palette import indexed

_VISIBLE = 128
"""Opacity from which a pixel is shown: GIF knows no half-transparent ones."""
_KEEP, _CLEAR = 1, 2
"""What happens to a frame after its time: it stays, or its area becomes transparent again."""
_ON = 255
_TICK_MS = 10


@dataclass(frozen=True)
class Part:
    """Some of a frame at ``place``: ``colors`` (mode RGB) where ``drawn`` (mode L) is not 0.

    ``hollow``: the animation has transparency. Then every frame names a transparent entry: where
    one does not, Pillow clears to the background colour.
    """

    colors: Pillow.Image
    drawn: Pillow.Image
    place: tuple[int, int]
    disposal: int
    hollow: bool

    def packed(self, ticks: int, most: int) -> bytes:
        """The blocks of the frame: shown for ``ticks`` centiseconds, ``most`` colours in all."""
        options = {"duration": ticks * _TICK_MS, "disposal": self.disposal}
        if not self.hollow and self.drawn.getextrema()[0] == _ON:
            image, _opacity = indexed(self.colors, most)
        else:
            image, hidden = self._with_a_hole(most)
            options["transparency"] = hidden
        return b"".join(getdata(image, self.place, include_color_table=True, **options))

    def _with_a_hole(self, most: int) -> tuple[Pillow.Image, int]:
        """The picture with a palette, and the entry that is transparent."""
        solid = Pillow.new("RGB", self.colors.size, self._any_color())
        solid.paste(self.colors, mask=self.drawn)
        image, _opacity = indexed(solid, most - 1)
        hidden = 1 + max(number for number, count in enumerate(image.histogram()) if count)
        image.putpalette([*(image.getpalette() or [])[: 3 * hidden], 0, 0, 0])
        image.paste(hidden, mask=ImageChops.invert(self.drawn))
        return image, hidden

    def _any_color(self) -> tuple[int, ...]:
        """A drawn one: to fill the hole with another would cost a place in the palette."""
        box = self.drawn.getbbox() or (0, 0, 1, 1)
        top = self.drawn.crop((box[0], box[1], box[2], box[1] + 1)).getbbox() or (0, 0, 1, 1)
        left = box[0] + top[0]
        return tuple(self.colors.crop((left, box[1], left + 1, box[1] + 1)).tobytes())


@dataclass(frozen=True)
class _Shown:
    """What is on the canvas: ``colors`` (mode RGB) where ``mask`` (mode L) is not 0."""

    colors: Pillow.Image
    mask: Pillow.Image
    hollow: bool

    @classmethod
    def of(cls, image: Pillow.Image) -> "_Shown":
        if image.mode != "RGBA":
            return cls(image, Pillow.new("L", image.size, _ON), hollow=False)
        visible = image.getchannel("A").point([0] * _VISIBLE + [_ON] * (256 - _VISIBLE))
        return cls(image.convert("RGB"), visible, hollow=True)

    def loses(self, other: "_Shown") -> bool:
        """Whether something of this is transparent in ``other``."""
        return ImageChops.subtract(self.mask, other.mask).getbbox() is not None

    def changes(self, before: "_Shown") -> Pillow.Image:
        """Where this shows something that ``before`` does not: mode L."""
        bands = ImageChops.difference(self.colors, before.colors).split()
        other = ImageChops.lighter(ImageChops.lighter(bands[0], bands[1]), bands[2])
        other = ImageChops.lighter(other, ImageChops.invert(before.mask))
        return ImageChops.darker(other.point([0] + [_ON] * 255), self.mask)


def parts(images: Iterable[Pillow.Image]) -> Iterator[Part]:
    """What to draw for each of ``images`` (mode RGB or RGBA, one size), with a look at the next."""
    before: _Shown | None = None
    shown: _Shown | None = None
    first = True
    for image in images:
        following = _Shown.of(image)
        if shown is not None:
            clear = shown.loses(following)
            yield _part(shown, before, clear=clear, whole=first or clear)
            before, first = (None if clear else shown), False
        shown = following
    if shown is not None:
        yield _part(shown, before, clear=False, whole=first)


def _part(shown: _Shown, before: _Shown | None, *, clear: bool, whole: bool) -> Part:
    """The first frame gives the canvas its size, and one that clears clears all of it."""
    drawn = shown.changes(before) if before else shown.mask
    box = (0, 0, *drawn.size) if whole else drawn.getbbox() or (0, 0, 1, 1)
    disposal = _CLEAR if clear else _KEEP
    return Part(shown.colors.crop(box), drawn.crop(box), box[:2], disposal, shown.hollow)
