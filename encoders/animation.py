"""Animations, decoded frame by frame.

GIF and APNG are composed here (``encoders.gif_frames``, ``apng_frames``), WebP and AVIF by libwebp
and libavif through Pillow.

Times are kept as they are, with one exception that all browsers make: a frame that asks for at
most 10 ms is shown for 100 ms (Blink, Gecko and WebKit agree since WebKit bug 36082). What is
written says the time that is meant, so that every viewer shows it alike.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as Pillow
from PIL import ImageFile, UnidentifiedImageError

from encoders.apng_frames import ApngFile
from encoders.errors import PictureError, damaged
from encoders.exif import ORIENTATION_TAG, UPRIGHT
from encoders.gif_frames import GifFile
from encoders.header import Header
from encoders.picture import Frame
from encoders.webp import admit_transparency

FORMATS = frozenset({"gif", "webp", "png", "avif"})
"""What may be animated; the pages of a TIFF are no animation."""

_TOO_SHORT_MS = 10
_INSTEAD_MS = 100
_OPAQUE = 255
_FOR_EVER = 0
_BROKEN = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    ArithmeticError,
    RuntimeError,
)
"""What Pillow's plug-ins raise for broken files; libavif's is RuntimeError."""


@dataclass(frozen=True)
class Animation:
    """Frames that show the whole picture, composed, mode RGB (opaque) or RGBA; to be walked once.

    ``orientation`` is how they are to be turned; ``loop`` how often it runs (0: for ever).
    """

    frames: Iterator[Frame]
    loop: int
    profile: bytes | None
    orientation: int


def is_animated(header: Header) -> bool:
    """Whether there are frames that could be kept."""
    return header.frames > 1 and header.format in FORMATS


def open_animation(path: Path, header: Header) -> Animation:
    """Read what stands before the frames, which are decoded as they are asked for.

    Raises PictureError damaged_picture, also when there are other frames than the header says.
    """
    try:
        if header.format == "gif":
            return _open_gif(path, header)
        if header.format == "png":
            return _open_png(path, header)
        return _open_other(path, header)
    except _BROKEN as error:
        raise _explained(error, header) from error


def _open_gif(path: Path, header: Header) -> Animation:
    file = GifFile(path.read_bytes(), (header.width, header.height))
    _require_frames(len(file.parts), header)
    return Animation(_explaining(file.images(), header), file.loop, None, UPRIGHT)


def _open_png(path: Path, header: Header) -> Animation:
    file = ApngFile(path.read_bytes())
    _require_frames(len(file.parts), header)
    with Pillow.open(path, formats=["PNG"]) as image:
        profile = image.info.get("icc_profile")
    frames = _explaining(file.images(), header)
    return Animation(frames, file.loop, profile, header.orientation)


def _open_other(path: Path, header: Header) -> Animation:
    data = bytearray(path.read_bytes())
    if header.format == "webp":
        admit_transparency(data)
    image = Pillow.open(io.BytesIO(data), formats=[header.format.upper()])
    _require_frames(getattr(image, "n_frames", 1), header)
    orientation = header.orientation
    if header.format == "avif":
        # Pillow states the rotation of the container as an EXIF orientation.
        orientation = image.getexif().get(ORIENTATION_TAG, UPRIGHT)
    frames = _explaining(_images(image, header.frames), header)
    return Animation(frames, _runs(image), image.info.get("icc_profile"), orientation)


def _images(image: ImageFile.ImageFile, count: int) -> Iterator[tuple[Pillow.Image, float]]:
    with image:
        for number in range(count):
            image.seek(number)
            image.load()
            mode = "RGBA" if image.has_transparency_data else "RGB"
            yield image.convert(mode), image.info.get("duration", 0)


def _runs(image: Pillow.Image) -> int:
    """Pillow does not read how often an AVIF runs; browsers repeat it for ever."""
    return int(image.info.get("loop", _FOR_EVER))


def _explaining(images: Iterator[tuple[Pillow.Image, float]], header: Header) -> Iterator[Frame]:
    """Finished frames of ``images`` and their milliseconds."""
    try:
        for image, milliseconds in images:
            _require_size(image, header)
            yield Frame(_plain(image), _shown_ms(milliseconds))
    except _BROKEN as error:
        raise _explained(error, header) from error


def _plain(image: Pillow.Image) -> Pillow.Image:
    if image.mode == "RGBA" and image.getchannel("A").getextrema()[0] == _OPAQUE:
        return image.convert("RGB")
    return image


def _shown_ms(asked: float) -> int:
    return round(asked) if asked > _TOO_SHORT_MS else _INSTEAD_MS


def _require_frames(count: int, header: Header) -> None:
    if count != header.frames:
        raise damaged(f"The picture has {count} frames, its header says {header.frames}.")


def _require_size(image: Pillow.Image, header: Header) -> None:
    stored = header.width, header.height
    if image.size not in {stored, stored[::-1] if header.format == "avif" else stored}:
        raise damaged("A frame has another size than the header says.")


def _explained(error: Exception, header: Header) -> PictureError:
    """In Pillow's words, but for the path of a file that it does not know."""
    words = "" if isinstance(error, UnidentifiedImageError) else str(error)
    name = header.format.upper()
    return damaged(f"The animated {name} cannot be decoded: {words or 'its data is broken'}.")
