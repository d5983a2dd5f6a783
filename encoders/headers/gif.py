"""GIF (87a, 89a): the canvas, and a walk over the blocks to count the frames."""

from collections.abc import Iterator

from encoders.errors import PictureError, damaged
from encoders.header import Header
from encoders.reader import Reader

_IMAGE, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B
_MAX_SUB_BLOCKS = 1_000_000
_MAX_FRAMES = 10_000
"""Nobody looks at more; the rest of the file is not even counted."""
_CHUNK = 1 << 13
_TABLE_FLAG, _TABLE_SIZE = 0x80, 0x07


def parse(reader: Reader) -> Header:
    """The canvas size, grown where the first frame sticks out, and the number of frames.

    A missing trailer, or rubbish after a whole frame, is forgiven as every viewer does.
    """
    width, height = _canvas(reader)
    walk = _Walk(reader)
    width, height = walk.first_frame(width, height)
    return Header("gif", width, height, walk.count_frames())


def places(reader: Reader) -> Iterator[tuple[int, int, int, int]]:
    """Left, top, width and height of each frame that ``parse`` counts."""
    _canvas(reader)
    yield from _Walk(reader).places()


def _canvas(reader: Reader) -> tuple[int, int]:
    reader.skip(6)
    width, height = reader.uint(2, "little"), reader.uint(2, "little")
    flags = reader.uint(1)
    reader.skip(2)
    _skip_table(reader, flags)
    return width, height


class _Walk:
    """One pass over the blocks of a GIF, with a bound on the sub-blocks of the whole file."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._sub_blocks = 0

    def first_frame(self, width: int, height: int) -> tuple[int, int]:
        """Read up to and over the first frame, which must be whole; the canvas that holds it."""
        if not self._find_image():
            raise damaged("The GIF has no frame.")
        left, top, frame_width, frame_height = self._image()
        if not frame_width or not frame_height:
            raise PictureError("empty_picture", "The GIF has a frame without pixels.")
        return max(width, left + frame_width), max(height, top + frame_height)

    def count_frames(self) -> int:
        """The frames of the file, the first included."""
        return 1 + sum(1 for _ in self.places())

    def places(self) -> Iterator[tuple[int, int, int, int]]:
        """The frames from here on; of one that breaks off right at its start only zeros."""
        for _ in range(_MAX_FRAMES):
            if not self._reader.left or not self._find_image():
                return
            yield self._image() if self._reader.left else (0, 0, 0, 0)

    def _find_image(self) -> bool:
        """Skip extensions; True at an image, False at the end or at rubbish."""
        while self._reader.left:
            kind = self._reader.uint(1)
            if kind == _IMAGE:
                return True
            if kind != _EXTENSION:
                return False
            self._reader.skip(1)
            self._skip_sub_blocks()
        return False

    def _image(self) -> tuple[int, int, int, int]:
        """Left, top, width and height of an image; ends after its data."""
        place = [self._reader.uint(2, "little") for _ in range(4)]
        _skip_table(self._reader, self._reader.uint(1))
        self._reader.skip(1)
        self._skip_sub_blocks()
        return place[0], place[1], place[2], place[3]

    def _skip_sub_blocks(self) -> None:
        """Walk in memory, a chunk at a time: one read per sub-block would be far too slow."""
        reader = self._reader
        start = reader.position
        chunk, at = reader.take_some(_CHUNK), 0
        while True:
            while at < len(chunk):
                length = chunk[at]
                self._sub_blocks += 1
                at += length + 1
                if not length:
                    reader.jump(start + at)
                    return
            if self._sub_blocks > _MAX_SUB_BLOCKS:
                raise damaged("The GIF is made of absurdly many pieces.")
            reader.jump(start + at)
            if not reader.left:
                raise damaged("The GIF is truncated: it ends inside a frame.")
            start, at = reader.position, 0
            chunk = reader.take_some(_CHUNK)


def _skip_table(reader: Reader, flags: int) -> None:
    if flags & _TABLE_FLAG:
        reader.skip(3 << ((flags & _TABLE_SIZE) + 1))
