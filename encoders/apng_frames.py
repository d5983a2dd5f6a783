"""The frames of an APNG (W3C PNG, third edition, section 13.2), composed. Pillow unpacks each.

Pillow can play an APNG by itself, but lays half-transparent pixels over others as if both were
opaque, and clips gray of 16 bits.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL import Image as Pillow

from encoders.errors import damaged

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SHARED = (b"PLTE", b"tRNS")
"""Chunks that every frame needs to be unpacked."""
_CHECKED = (b"acTL", b"fcTL", b"fdAT", b"IDAT", *_SHARED)
_CLEAR, _RESTORE = 1, 2
_OVER = 1
_DEFAULT_PER_SECOND = 100
_CLEAR_PIXEL = (0, 0, 0, 0)
_SEQUENCE_BYTES = 4


@dataclass
class ApngPart:
    """One frame of the file: where it lies, its milliseconds, and its packed pixels."""

    size: tuple[int, int]
    place: tuple[int, int]
    duration_ms: float
    disposal: int
    blend: int
    data: list[bytes] = field(default_factory=list)


class ApngFile:
    """An APNG in memory: its frames in order, and how often they run (``loop``, 0: for ever).

    A still for viewers that cannot animate is none of the frames. Raises PictureError
    damaged_picture.
    """

    def __init__(self, data: bytes) -> None:
        self._header = b""
        self._shared: list[tuple[bytes, bytes]] = []
        self.loop = 0
        self.parts: list[ApngPart] = []
        try:
            for name, body in _chunks(data):
                self._take(name, body)
        except struct.error as error:
            raise damaged("The PNG is truncated: it ends inside a frame.") from error
        self._canvas: tuple[int, int] = struct.unpack_from(">II", self._header)
        if any(self._sticks_out(part) for part in self.parts):
            raise damaged("The PNG has a frame that is not on its canvas.")

    def images(self) -> Iterator[tuple[Pillow.Image, float]]:
        """The canvas (mode RGBA, a copy) after each frame, and for how many ms it is shown."""
        canvas = Pillow.new("RGBA", self._canvas)
        for number, part in enumerate(self.parts):
            # The first frame has nothing before it: its area is cleared instead.
            before = canvas.copy() if part.disposal == _RESTORE and number else None
            pixels = self._pixels(part)
            if part.blend == _OVER:
                canvas.alpha_composite(pixels, part.place)
            else:
                canvas.paste(pixels, part.place)
            yield canvas.copy(), part.duration_ms
            if before is not None:
                canvas = before
            elif part.disposal in {_CLEAR, _RESTORE}:
                canvas.paste(_CLEAR_PIXEL, (*part.place, *_corner(part)))

    def _take(self, name: bytes, body: bytes) -> None:
        if name == b"IHDR":
            self._header = body
        elif name in _SHARED:
            self._shared.append((name, body))
        elif name == b"acTL":
            (self.loop,) = struct.unpack_from(">I", body, 4)
        elif name == b"fcTL":
            self.parts.append(_part(body))
        elif name == b"IDAT" and self.parts:
            self.parts[-1].data.append(body)
        elif name == b"fdAT" and self.parts:
            self.parts[-1].data.append(body[_SEQUENCE_BYTES:])

    def _sticks_out(self, part: ApngPart) -> bool:
        right, bottom = _corner(part)
        return min(part.size) < 1 or right > self._canvas[0] or bottom > self._canvas[1]

    def _pixels(self, part: ApngPart) -> Pillow.Image:
        """One frame as a file of its own, unpacked: mode RGBA."""
        header = struct.pack(">II", *part.size) + self._header[8:]
        chunks = [(b"IHDR", header), *self._shared, (b"IDAT", b"".join(part.data)), (b"IEND", b"")]
        alone = _SIGNATURE + b"".join(_packed(name, body) for name, body in chunks)
        with Pillow.open(io.BytesIO(alone), formats=["PNG"]) as image:
            image.load()
            if image.mode.startswith("I"):
                # 16 bits of gray, which "convert" would clip to 8.
                return (
                    image.point(lambda value: value * (1 / 257) + 0.5).convert("L").convert("RGBA")
                )
            return image.convert("RGBA")


def _part(body: bytes) -> ApngPart:
    width, height, left, top, amount, per_second, disposal, blend = struct.unpack_from(
        ">IIIIHHBB", body, _SEQUENCE_BYTES
    )
    milliseconds = 1000 * amount / (per_second or _DEFAULT_PER_SECOND)
    return ApngPart((width, height), (left, top), milliseconds, disposal, blend)


def _corner(part: ApngPart) -> tuple[int, int]:
    return part.place[0] + part.size[0], part.place[1] + part.size[1]


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and bodies up to IEND; the checksums of those that are used are verified."""
    at, name = len(_SIGNATURE), b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        (checksum,) = struct.unpack_from(">I", data, end)
        if name in _CHECKED and zlib.crc32(data[at + 4 : end]) != checksum:
            raise damaged(f"The PNG is damaged: a chunk {name.decode()} has a wrong checksum.")
        yield name, data[at + 8 : end]
        at = end + 4


def _packed(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
