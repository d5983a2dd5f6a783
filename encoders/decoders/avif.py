"""AVIF by Pillow (libavif): ImageMagick 6 drops its transparency on reading."""

from pathlib import Path

from PIL import Image

from encoders.blocks import Blocks
from encoders.decoders import Decoded
from encoders.errors import PictureError, damaged
from encoders.exif import ORIENTATION_TAG, PREFIX, SIDEWAYS, UPRIGHT
from encoders.header import Header


def decode(path: Path, header: Header) -> Decoded:
    """The first picture. Raises PictureError damaged_picture, MemoryError."""
    try:
        with Image.open(path, formats=["AVIF"]) as image:
            image.load()
            # Pillow states the turn of the container as an EXIF orientation, never both.
            turn = image.getexif().get(ORIENTATION_TAG, UPRIGHT)
            size = image.size[::-1] if turn in SIDEWAYS else image.size
            if size != header.upright:
                raise damaged("The picture data has another size than the header says.")
            mode = "RGBA" if image.has_transparency_data else "RGB"
            return Decoded(image.convert(mode), _blocks(image), turn=turn)
    except PictureError:
        raise
    except (OSError, ValueError, SyntaxError, RuntimeError) as error:
        if "memory" in str(error).lower():
            raise MemoryError from error
        # Pillow names the file where it cannot make anything of it.
        reason = "its data is broken" if str(path) in str(error) else error
        raise damaged(f"The AVIF cannot be decoded: {reason}.") from error


def _blocks(image: Image.Image) -> Blocks:
    info = image.info
    exif = info.get("exif")
    return Blocks(
        info.get("icc_profile"), exif.removeprefix(PREFIX) if exif else None, info.get("xmp")
    )
