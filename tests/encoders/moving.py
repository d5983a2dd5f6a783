"""Animations made block by block, so that every odd one can be made, and other decoders' view."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wand.image
from PIL import Image, ImageSequence
from PIL.GifImagePlugin import getdata

from encoders.look import Look
from encoders.plan import Plan, Settings, Variant
from tests.encoders.encoding import same
from tests.encoders.pictures import difference
from tests.encoders.png import chunk, ihdr, lines, png

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
CLEAR = (0, 0, 0, 0)
PALETTE = [*RED, *GREEN, *BLUE, *WHITE]
OTHER = [9, 9, 9, 200, 100, 0, 50, 60, 70, 0, 255, 255]
SIZE = (8, 7)


@dataclass(frozen=True)
class Cel:
    """One image of a GIF: mode P."""

    image: Image.Image
    place: tuple[int, int] = (0, 0)
    disposal: int = 0
    ticks: int = 10
    transparent: int | None = None
    local: bool = True


def indexed(size: tuple[int, int], numbers: bytes | int, palette: Sequence[int]) -> Image.Image:
    """A picture of palette entries: one for all, or one for each pixel."""
    image = Image.new("P", size, numbers if isinstance(numbers, int) else 0)
    if isinstance(numbers, bytes):
        image = Image.frombytes("P", size, numbers)
    image.putpalette(palette)
    return image


def gif(
    size: tuple[int, int], cels: Sequence[Cel], repeats: int | None = None, *, shared: bytes = b""
) -> bytes:
    """A GIF file; ``shared`` is a global palette of four colours."""
    flags = 0x81 if shared else 0
    data = b"GIF89a" + struct.pack("<HHBBB", *size, flags, 0, 0) + shared
    if repeats is not None:
        data += b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", repeats, 0)
    return data + b"".join(_cel(cel) for cel in cels) + b";"


def _cel(cel: Cel) -> bytes:
    has = cel.transparent is not None
    control = struct.pack("<BHBB", cel.disposal << 2 | has, cel.ticks, cel.transparent or 0, 0)
    body = getdata(cel.image, cel.place, include_color_table=cel.local)
    return b"!\xf9\x04" + control + b"".join(body)


@dataclass(frozen=True)
class Fc:
    """One frame of an APNG: mode RGBA."""

    image: Image.Image
    place: tuple[int, int] = (0, 0)
    disposal: int = 0
    blend: int = 0
    delay: tuple[int, int] = (1, 10)


def apng(
    size: tuple[int, int],
    frames: Sequence[Fc],
    *,
    plays: int = 0,
    says: int | None = None,
    still: Image.Image | None = None,
) -> bytes:
    """An APNG file that says it has ``says`` frames; ``still`` is shown by those that cannot."""
    chunks = [ihdr(*size, 8, 6)]
    chunks.append(chunk(b"acTL", struct.pack(">II", len(frames) if says is None else says, plays)))
    number = 0
    if still:
        chunks.append(chunk(b"IDAT", _deflated(still)))
    for at, frame in enumerate(frames):
        control = struct.pack(
            ">IIIIIHHBB",
            number,
            *frame.image.size,
            *frame.place,
            *frame.delay,
            frame.disposal,
            frame.blend,
        )
        chunks.append(chunk(b"fcTL", control))
        number += 1
        if at or still:
            chunks.append(chunk(b"fdAT", struct.pack(">I", number) + _deflated(frame.image)))
            number += 1
        else:
            chunks.append(chunk(b"IDAT", _deflated(frame.image)))
    return png(*chunks)


def _deflated(image: Image.Image) -> bytes:
    return zlib.compress(lines(image.convert("RGBA")))


def frames_of(path: Path) -> list[Image.Image]:
    """Every frame in Pillow's view: mode RGBA."""
    with Image.open(path) as image:
        return [frame.convert("RGBA") for frame in ImageSequence.Iterator(image)]


def times_of(path: Path) -> list[int]:
    """Milliseconds of every frame."""
    with Image.open(path) as image:
        times = []
        for frame in ImageSequence.Iterator(image):
            frame.load()
            times.append(round(frame.info["duration"]))
        return times


def coalesced(path: Path, form: str) -> list[Image.Image]:
    """Every frame in ImageMagick's view: mode RGBA."""
    with wand.image.Image(blob=path.read_bytes(), format=form) as image:
        image.coalesce()
        return [_pixels(wand.image.Image(frame)) for frame in image.sequence]


def _pixels(image: wand.image.Image) -> Image.Image:
    with image:
        image.alpha_channel = "set"
        pixels = bytes(image.export_pixels(channel_map="RGBA", storage="char"))
        return Image.frombytes("RGBA", image.size, pixels)


def alike(seen: Sequence[Image.Image], expected: Sequence[Image.Image]) -> bool:
    """Whether every frame looks the same, and none is missing."""
    return len(seen) == len(expected) and all(map(same, seen, expected))


def furthest(seen: Sequence[Image.Image], expected: Sequence[Image.Image]) -> float:
    """The difference of the frame that differs most."""
    return max(difference(*pair) for pair in zip(seen, expected, strict=True))


def moving(
    source: Path, folder: Path, *formats: str, look: Look | None = None, **settings: Any
) -> Plan:
    """A plan that makes ``out.{format}`` for each format, WebP without loss."""
    variants = [
        Variant(
            f"out.{name}",
            name,
            look or Look(),
            Settings(**({"lossless": True} if name == "webp" else {}) | settings),
        )
        for name in formats
    ]
    return Plan(source, folder, tuple(variants))


def saved(folder: Path, data: bytes) -> Path:
    """``data`` as the file ``source``."""
    (folder / "source").write_bytes(data)
    return folder / "source"


def painted(*colors: tuple[int, ...], size: tuple[int, int] = (24, 16)) -> list[Image.Image]:
    """A frame of each colour, mode RGBA."""
    return [Image.new("RGBA", size, color) for color in colors]


def flags() -> list[Image.Image]:
    """Four frames in which half of the picture moves, over transparency."""
    made = []
    for number in range(4):
        image = Image.new("RGBA", (40, 20), CLEAR)
        image.paste((250 - 50 * number, 30, 90, 255), (10 * number, 0, 10 * number + 10, 20))
        made.append(image)
    return made


def webp(folder: Path, images: list[Image.Image], **options: Any) -> Path:
    """An animated WebP without loss, as the file ``source``."""
    path = folder / "source"
    images[0].save(path, "WEBP", save_all=True, append_images=images[1:], lossless=True, **options)
    return path
