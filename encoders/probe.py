"""Size and frame count of a picture, read from its header alone."""

from collections.abc import Callable
from pathlib import Path

from encoders.errors import PictureError
from encoders.header import Header
from encoders.headers import gif, heif, jpeg, png, tiff, webp
from encoders.reader import Reader
from encoders.sniff import SNIFF_BYTES, sniff

__all__ = ["Header", "probe"]

_PARSERS: dict[str, Callable[[Reader], Header]] = {
    "jpeg": jpeg.parse,
    "png": png.parse,
    "gif": gif.parse,
    "webp": webp.parse,
    "tiff": tiff.parse,
    "avif": heif.parse_avif,
    "heic": heif.parse_heic,
}


def probe(path: Path) -> Header:
    """Read the header of the file at ``path``: pure Python, no pixels, bounded work.

    Raises PictureError: unsupported_type, empty_picture or damaged_picture.
    """
    with path.open("rb") as file:
        head = file.read(SNIFF_BYTES)
        if not head:
            raise PictureError("empty_picture", "The file is empty.")
        name = sniff(head)
        if name is None:
            raise PictureError(
                "unsupported_type",
                "The file is not a JPEG, PNG, WebP, AVIF, HEIC, GIF or TIFF picture.",
            )
        file.seek(0)
        header = _PARSERS[name](Reader(file, path.stat().st_size))
    if header.width < 1 or header.height < 1:
        raise PictureError("empty_picture", "The picture has a width or height of zero.")
    return header
