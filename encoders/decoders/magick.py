"""Every format but AVIF by ImageMagick, with the coder that the bytes ask for."""

import math
import os
import resource
import shutil
from dataclasses import replace
from pathlib import Path

from PIL import Image as Pillow
from wand.exceptions import CacheError, ResourceLimitError, WandException, WandRuntimeError
from wand.image import Image

from encoders.blocks import Blocks
from encoders.complaints import complaints
from encoders.decoders import Decoded, plain_png
from encoders.errors import PictureError, damaged
from encoders.exif import PREFIX, UPRIGHT
from encoders.geometry import Size
from encoders.header import Header
from encoders.headers import tiff
from encoders.lab import from_lab
from encoders.pixels import to_pillow
from encoders.reader import Reader

_JPEG_SCALES = range(1, 9)
_DIRECT = frozenset({"srgb", "gray"})
_LINEAR = frozenset({"rgb", "lineargray"})
_OTHER_AXES = frozenset({"ycbcr", "rec601ycbcr", "rec709ycbcr", "yuv"})
"""RGB turned by a matrix, as the HEIC reader of version 6 leaves it: turned back, the colours are
still those that the profile describes."""
_NO_MEMORY = "The picture needs more memory than allowed."
_END = b"\xff\xd9"
_DOUBTFUL_BYTES = 16
"""Left over behind the last block of a JPEG. Bits that were changed on the way left 29 and more in
300 of 304 cases, 5 to 17 in four."""
_DECODED_BYTES = 10
"""Bytes of one pixel inside ImageMagick: four channels of 16 bits, and its readers' buffers."""


def decode(path: Path, header: Header, hint: Size, work_dir: Path) -> Decoded:
    """The first frame; JPEG shrunk on load to no less than ``hint`` (stored width and height).

    ``work_dir`` is a private folder. Raises PictureError damaged_picture or out_of_memory.
    """
    with Image() as image:
        if header.format == "jpeg" and hint != (header.width, header.height):
            image.options["jpeg:size"] = f"{hint[0]}x{hint[1]}"
        left_over = _read(image, path, header, work_dir)
        doubtful = left_over >= _DOUBTFUL_BYTES and not _is_padded(path)
        blocks = _blocks(image)
        if header.format == "gif":
            return Decoded(_on_canvas(image, header), blocks)
        _require_size(image.size, header)
        return replace(_pixels(image, blocks), doubtful=doubtful)


def _pixels(image: Image, blocks: Blocks) -> Decoded:
    """Out of ImageMagick, by way of sRGB where nothing else can describe the colours."""
    space = _colorspace_of(image)
    if space == "lab":
        return Decoded(from_lab(to_pillow(image, _mode(image))), blocks, converted=True)
    if space == "cmyk" and not image.alpha_channel:
        return Decoded(to_pillow(image, "CMYK"), blocks)
    if space in _DIRECT or (blocks.profile and space in _LINEAR):
        return Decoded(to_pillow(image, _mode(image)), blocks)
    image.transform_colorspace("srgb")
    is_spent = space not in _OTHER_AXES
    return Decoded(to_pillow(image, _mode(image)), blocks, converted=is_spent)


def _read(image: Image, path: Path, header: Header, work_dir: Path) -> int:
    """Read the first frame; how many bytes of a scan were left over.

    The path is a plain one of our own: ImageMagick gives a meaning to ``%``, ``[`` and ``*`` in
    file names, and an extension could suggest another coder.
    """
    plain = work_dir / "source"
    name = header.format.upper()
    try:
        _place(path, plain, header)
        with complaints() as heard:
            image.read(filename=f"{header.format}:{plain}[0]")
        _raise_late_error(image)
    except ResourceLimitError as error:
        raise PictureError("out_of_memory", _NO_MEMORY) from error
    except WandException as error:
        if _starved(error, header):
            raise PictureError("out_of_memory", _NO_MEMORY) from error
        raise damaged(f"The {name} cannot be decoded: {_reason(error)}.") from error
    finally:
        plain.unlink(missing_ok=True)
    if heard.damage:
        raise damaged(f"The {name} is damaged: {heard.damage[0]}.")
    return heard.left_over


def _is_padded(path: Path) -> bool:
    """Whether what a camera left before the end marker is one byte over and over."""
    with path.open("rb") as file:
        file.seek(-min(_DOUBTFUL_BYTES + 2, path.stat().st_size), os.SEEK_END)
        tail = file.read()
    return tail.endswith(_END) and len(set(tail[:-2])) == 1


def _raise_late_error(image: Image) -> None:
    """Version 7 returns a TIFF that breaks off, black from there, as if the read had succeeded,
    and Wand looks for an error only where it failed."""
    error = image.get_exception()
    if error and not isinstance(error, Warning):
        raise error


def _place(path: Path, plain: Path, header: Header) -> None:
    """Make the source readable as ``plain``.

    Where libtiff decodes JPEG inside TIFF it obeys half of the orientation: it mirrors but does
    not turn. A copy that says "upright" makes every kind of TIFF come out as it is stored.
    """
    if header.format == "png":
        plain_png.copy(path, plain)
        return
    if header.format != "tiff" or header.orientation == UPRIGHT:
        plain.symlink_to(path)
        return
    shutil.copyfile(path, plain)
    with plain.open("r+b") as file:
        at, upright = tiff.upright_patch(Reader(file, plain.stat().st_size))
        file.seek(at)
        file.write(upright)


def _starved(error: WandException, header: Header) -> bool:
    """Whether memory was the cause: allocations fail with CacheError, and the PNG reader fails
    without a word. Then only the address space tells a huge picture from a broken one."""
    if isinstance(error, CacheError):
        return True
    needed = header.width * header.height * _DECODED_BYTES
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return _is_silent(error) and limit != resource.RLIM_INFINITY and used + needed > limit


def _reason(error: WandException) -> str:
    """ImageMagick's own words up to the file name, which is nobody's business."""
    words = "" if _is_silent(error) else str(error).partition("`")[0].strip(" .")
    return words or "its data is broken"


def _is_silent(error: WandException) -> bool:
    """Wand raises this when ImageMagick failed and gave no reason."""
    return isinstance(error, WandRuntimeError)


def _require_size(size: Size, header: Header) -> None:
    """The decoder must deliver what the header promised, or one of libjpeg's scales of it."""
    stored = header.width, header.height
    scaled = any(
        size == (math.ceil(stored[0] * scale / 8), math.ceil(stored[1] * scale / 8))
        for scale in _JPEG_SCALES
    )
    if size != stored and not (header.format == "jpeg" and scaled):
        raise damaged("The picture data has another size than the header says.")


def _mode(image: Image) -> str:
    return "RGBA" if image.alpha_channel else "RGB"


def _colorspace_of(image: Image) -> str:
    try:
        return str(image.colorspace)
    except IndexError:
        # Wand's table for ImageMagick 6 ends before this last member.
        return "lineargray"


def _blocks(image: Image) -> Blocks:
    profiles = image.profiles
    exif = profiles["exif"]
    return Blocks(
        profiles["icc"] or profiles["icm"],
        exif.removeprefix(PREFIX) if exif else None,
        profiles["xmp"],
    )


def _on_canvas(image: Image, header: Header) -> Pillow.Image:
    """The first frame of a GIF at its place on the canvas, which is transparent elsewhere."""
    left, top = image.page_x, image.page_y
    frame = _pixels(image, Blocks()).image.convert("RGBA")
    if frame.size == (header.width, header.height):
        return frame
    canvas = Pillow.new("RGBA", (header.width, header.height))
    canvas.paste(frame, (left, top))
    return canvas
