"""A file reader that cannot be kept busy: every read is checked and every step is counted."""

from typing import BinaryIO

from encoders.errors import damaged

MAX_STEPS = 200_000
"""Reads and skips in one file. Real headers need a few hundred; a hostile file may ask for more."""


class Reader:
    """Reads big- and little-endian structures from ``file``, which is ``size`` bytes long.

    Raises PictureError ``damaged_picture`` when the file ends early or asks for too many steps.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._steps = 0
        self.size = size
        self.position = 0

    def take(self, count: int) -> bytes:
        """Exactly the next ``count`` bytes."""
        self._step(count)
        data = self._file.read(count)
        if len(data) < count:
            raise damaged("The file is truncated: it ends inside its header.")
        return data

    def take_some(self, count: int) -> bytes:
        """The next ``count`` bytes, or what is left of them."""
        return self.take(min(count, self.size - self.position))

    def skip(self, count: int) -> None:
        """Move on by ``count`` bytes, which must be there."""
        self._step(count)
        self._file.seek(self.position)

    def jump(self, position: int) -> None:
        """Move to an absolute position inside the file."""
        self.skip(position - self.position)

    def uint(self, count: int, order: str = "big") -> int:
        """The next ``count`` bytes as an unsigned number."""
        return int.from_bytes(self.take(count), "little" if order == "little" else "big")

    @property
    def left(self) -> int:
        """Bytes between here and the end."""
        return self.size - self.position

    def _step(self, count: int) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise damaged("The file is made of absurdly many pieces.")
        if not 0 <= self.position + count <= self.size:
            raise damaged("The file is truncated: it ends before its picture data does.")
        self.position += count
