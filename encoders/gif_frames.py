"""The frames of a GIF (89a), composed as browsers do. Pillow unpacks the pixels (LZW).

Pillow's own frames differ where nothing is transparent: an area that is to be cleared gets the
background colour of the file, which browsers and ImageMagick ignore in favour of transparency.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image as Pillow

from encoders.errors import damaged

_IMAGE, _EXTENSION = 0x2C, 0x21
_CONTROL, _APPLICATION = 0xF9, 0xFF
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_TABLE_FLAG, _TABLE_SIZE = 0x80, 0x07
_TRANSPARENT_FLAG = 0x01
_CLEAR = 2
_RESTORE = frozenset({3, 4})
"""Disposals; 4 is what some writers took "the third bit" for, and browsers follow."""
_TICK_MS = 10
_GRAYS = bytes(value for value in range(256) for _ in "rgb")
"""For a file without any palette."""
_CLEAR_PIXEL = (0, 0, 0, 0)


@dataclass(frozen=True)
class GifPart:
    """One image of the file: where it lies, and its bytes from the code size on."""

    place: tuple[int, int]
    size: tuple[int, int]
    flags: int
    palette: bytes
    data: bytes
    ticks: int = 0
    disposal: int = 0
    transparent: int | None = None

    def pixels(self) -> tuple[Pillow.Image, Pillow.Image | None]:
        """Colours (mode RGB) and where they are drawn (mode L; None: everywhere)."""
        with Pillow.open(io.BytesIO(self._alone()), formats=["GIF"]) as image:
            image.load()
            numbers = Pillow.frombytes("L", image.size, image.tobytes())
            colors = image.convert("RGB")
        if self.transparent is None:
            return colors, None
        drawn = [255] * 256
        drawn[self.transparent] = 0
        return colors, numbers.point(drawn)

    def _alone(self) -> bytes:
        """A file of this one image."""
        length = len(self.palette) // 3
        table = _TABLE_FLAG | (length.bit_length() - 2)
        screen = struct.pack("<HHBBB", *self.size, table, 0, 0)
        image = struct.pack("<BHHHHB", _IMAGE, 0, 0, *self.size, self.flags & ~_TABLE_FLAG)
        return b"GIF89a" + screen + self.palette + image + self.data + b";"


class GifFile:
    """A GIF in memory: its images in order, and how often they run (``loop``, 0: for ever).

    Raises PictureError damaged_picture for a file that ends inside an image.
    """

    def __init__(self, data: bytes, canvas: tuple[int, int]) -> None:
        self._data = data
        self._canvas = canvas
        self._at = 6
        self._control = (0, 0, 0)
        self.loop = 1
        self.parts: list[GifPart] = []
        try:
            self._parse()
        except (struct.error, IndexError) as error:
            raise damaged("The GIF is truncated: it ends inside a frame.") from error

    def images(self) -> Iterator[tuple[Pillow.Image, float]]:
        """The canvas (mode RGBA, a copy) after each image, and for how many ms it is shown."""
        canvas = Pillow.new("RGBA", self._canvas)
        for part in self.parts:
            before = canvas.copy() if part.disposal in _RESTORE else None
            if min(part.size) > 0:
                colors, drawn = part.pixels()
                canvas.paste(colors, part.place, drawn)
            yield canvas.copy(), part.ticks * _TICK_MS
            if before is not None:
                canvas = before
            elif part.disposal == _CLEAR:
                left, top = part.place
                canvas.paste(_CLEAR_PIXEL, (left, top, left + part.size[0], top + part.size[1]))

    def _parse(self) -> None:
        _width, _height, flags, _background, _aspect = self._unpack("<HHBBB")
        palette = self._table(flags) or _GRAYS
        while self._at < len(self._data):
            (kind,) = self._unpack("<B")
            if kind == _IMAGE:
                self.parts.append(self._image(palette))
            elif kind == _EXTENSION:
                self._extension()
            else:
                return

    def _image(self, palette: bytes) -> GifPart:
        left, top, width, height, flags = self._unpack("<HHHHB")
        palette = self._table(flags) or palette
        start = self._at
        self._at += 1
        for _ in self._blocks():
            pass
        packed, ticks, index = self._control
        self._control = (0, 0, 0)
        return GifPart(
            (left, top),
            (width, height),
            flags,
            palette,
            self._data[start : self._at],
            ticks,
            packed >> 2 & 7,
            index if packed & _TRANSPARENT_FLAG else None,
        )

    def _extension(self) -> None:
        (label,) = self._unpack("<B")
        blocks = [self._data[start : start + length] for start, length in self._blocks()]
        if label == _CONTROL and blocks:
            self._control = struct.unpack_from("<BHB", blocks[0])
        elif label == _APPLICATION and blocks and blocks[0] in _LOOPS:
            self._read_loop(blocks[1:])

    def _read_loop(self, blocks: list[bytes]) -> None:
        """The number counts repeats, so that n is n + 1 runs; 0 is for ever."""
        for block in blocks:
            if block[:1] == b"\x01":
                (repeats,) = struct.unpack_from("<H", block, 1)
                self.loop = repeats + 1 if repeats else 0

    def _blocks(self) -> Iterator[tuple[int, int]]:
        """Start and length of sub-blocks; moves over them and the empty one that ends them."""
        while length := self._data[self._at]:
            yield self._at + 1, length
            self._at += 1 + length
        self._at += 1

    def _table(self, flags: int) -> bytes:
        if not flags & _TABLE_FLAG:
            return b""
        length = 3 << ((flags & _TABLE_SIZE) + 1)
        self._at += length
        return self._data[self._at - length : self._at]

    def _unpack(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return values
