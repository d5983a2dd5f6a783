"""From a decoded source to finished frames, look by look."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain

from PIL import Image as Pillow

from encoders.errors import PictureError
from encoders.geometry import Size
from encoders.header import Header
from encoders.look import Look
from encoders.looks import Looks
from encoders.picture import Frame
from encoders.plan import Notice, Plan
from encoders.source import Source
from encoders.times import Times


class Developer:
    """Makes each look from one decode: of the first frame, or of all where the look ``moves``."""

    def __init__(
        self,
        source: Source,
        header: Header,
        looks: Iterable[Look],
        *,
        moving: set[Look],
        plan: Plan,
        times: Times,
    ) -> None:
        self._source = source
        self._count = header.frames if moving else 1
        self._moving = moving
        self._max_pixels = plan.limits.max_pixels
        self._times = times
        still = (look for look in looks if look not in moving)
        self._first, self._every = (
            Looks(some, source.profile, header.upright, source.slack, plan.fonts_dir)
            for some in (still, moving)
        )

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What a person should know of the looks made so far."""
        return (*self._first.notices, *self._every.notices)

    def looks(self) -> Iterator[tuple[Look, tuple[Frame, ...]]]:
        """Every look with all its frames, the largest first.

        A look is handed on as soon as it is made, so that it is encoded while the next is made.
        Raises PictureError.
        """
        made: dict[Look, list[Frame]] = defaultdict(list)
        frames = self._times.each("decode", iter(self._source.frames))
        for number in range(self._count):
            frame = next(frames)
            sizes = {}
            for look, image in self._times.each("resize", self._of(frame.image, number)):
                made[look].append(Frame(image, frame.duration_ms))
                sizes[look] = image.size
                if number == self._count - 1 or look not in self._moving:
                    yield look, _alike(made.pop(look))
            if number == 0:
                self._check({look: sizes[look] for look in self._moving})

    def _of(self, image: Pillow.Image, number: int) -> Iterator[tuple[Look, Pillow.Image]]:
        if number == 0:
            return chain(self._first.of(image), self._every.of(image))
        return self._every.of(image)

    def _check(self, sizes: dict[Look, Size]) -> None:
        """Frames are held in memory until they are written: there may be as many as in a source."""
        pixels = self._count * sum(width * height for width, height in sizes.values())
        if pixels > self._max_pixels:
            raise PictureError(
                "too_many_pixels",
                f"The animated outputs would have {pixels} pixels in all {self._count} frames; at "
                f"most {self._max_pixels} are allowed. Ask for fewer or smaller sizes.",
            )


def _alike(frames: list[Frame]) -> tuple[Frame, ...]:
    """Frames of one mode: if one has transparency, all get it."""
    if len({frame.image.mode for frame in frames}) == 1:
        return tuple(frames)
    return tuple(Frame(frame.image.convert("RGBA"), frame.duration_ms) for frame in frames)
