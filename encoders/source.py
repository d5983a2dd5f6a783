"""From a file to upright 8-bit pixels: one decode, with the decoder that its bytes ask for.

ImageMagick decodes everything but AVIF: version 6 drops the transparency of AVIF on reading, so
that is decoded by Pillow (libavif).
"""

import math
import resource
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as Pillow
from wand.exceptions import CacheError, ResourceLimitError, WandException, WandRuntimeError
from wand.image import Image

from encoders.complaints import complaints
from encoders.errors import PictureError, damaged
from encoders.exif import ORIENTATION_TAG, SIDEWAYS, UPRIGHT
from encoders.geometry import Size
from encoders.header import Header
from encoders.headers import tiff
from encoders.picture import Frame
from encoders.pixels import to_pillow
from encoders.reader import Reader

_TURNS = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
_JPEG_SCALES = range(1, 9)
_DIRECT = frozenset({"srgb", "gray"})
_LINEAR = frozenset({"rgb", "lineargray"})
_OPAQUE = 255
_NO_MEMORY = "The picture needs more memory than allowed."
_DECODED_BYTES = 10
"""Bytes of one pixel inside ImageMagick: four channels of 16 bits, and its readers' buffers."""


@dataclass(frozen=True)
class Source:
    """A decoded picture: frames upright, mode RGB, RGBA or CMYK, colours still as in the file.

    ``frames`` can be walked through once; animations are decoded frame by frame on the way.
    """

    frames: Iterable[Frame]
    profile: bytes | None
    loop: int = 0
    exif: bytes | None = None
    xmp: bytes | None = None


def open_source(path: Path, header: Header, largest: Size, work_dir: Path) -> Source:
    """Decode the file. ``largest`` is the largest upright size needed: JPEG is shrunk on load.

    ``work_dir`` is a private folder. Raises PictureError damaged_picture or out_of_memory.
    """
    if header.format == "avif":
        return _upright(*_read_avif(path, header))
    hint = largest[::-1] if header.orientation in SIDEWAYS else largest
    image, profile = _read(path, header, hint, work_dir)
    return _upright(image, profile, header.orientation)


def _upright(image: Pillow.Image, profile: bytes | None, orientation: int) -> Source:
    if orientation in _TURNS:
        image = image.transpose(_TURNS[orientation])
    if image.mode == "RGBA" and image.getchannel("A").getextrema()[0] == _OPAQUE:
        image = image.convert("RGB")
    return Source((Frame(image),), profile)


def _read_avif(path: Path, header: Header) -> tuple[Pillow.Image, bytes | None, int]:
    try:
        with Pillow.open(path, formats=["AVIF"]) as image:
            image.load()
            # Pillow states the rotation of the container as an EXIF orientation.
            turn = image.getexif().get(ORIENTATION_TAG, UPRIGHT)
            size = image.size[::-1] if turn in SIDEWAYS else image.size
            _require(size == header.upright)
            mode = "RGBA" if image.has_transparency_data else "RGB"
            return image.convert(mode), image.info.get("icc_profile"), turn
    except (OSError, ValueError, SyntaxError) as error:
        # Pillow names the file where it cannot make anything of it.
        reason = "its data is broken" if str(path) in str(error) else error
        raise damaged(f"The AVIF cannot be decoded: {reason}.") from error


def _read(
    path: Path, header: Header, hint: Size, work_dir: Path
) -> tuple[Pillow.Image, bytes | None]:
    with Image() as image:
        if header.format == "jpeg" and hint != (header.width, header.height):
            image.options["jpeg:size"] = f"{hint[0]}x{hint[1]}"
        _magick_read(image, path, header, work_dir)
        if header.format == "gif":
            return _on_canvas(image, header), _profile_of(image)
        _require_size(image.size, header)
        profile = _profile_of(image)
        return to_pillow(image, _prepare(image, profile)), profile


def _magick_read(image: Image, path: Path, header: Header, work_dir: Path) -> None:
    """Read the first frame. The path is a plain one of our own: ImageMagick gives a meaning to
    ``%``, ``[`` and ``*`` in file names, and an extension could suggest another coder."""
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
    if heard:
        raise damaged(f"The {name} is damaged: {heard[0]}.")


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
    _require(size == stored or (header.format == "jpeg" and scaled))


def _require(expected: bool) -> None:
    if not expected:
        raise damaged("The picture data has another size than the header says.")


def _prepare(image: Image, profile: bytes | None) -> str:
    """Bring ``image`` into a colour space that can be exported; the Pillow mode to export."""
    space = _colorspace_of(image)
    if space == "cmyk" and not image.alpha_channel:
        return "CMYK"
    if space not in _DIRECT and not (profile and space in _LINEAR):
        image.transform_colorspace("srgb")
    return "RGBA" if image.alpha_channel else "RGB"


def _colorspace_of(image: Image) -> str:
    try:
        return str(image.colorspace)
    except IndexError:
        # Wand's table for ImageMagick 6 ends before this last member.
        return "lineargray"


def _profile_of(image: Image) -> bytes | None:
    profile: bytes | None = image.profiles["icc"] or image.profiles["icm"]
    return profile


def _on_canvas(image: Image, header: Header) -> Pillow.Image:
    """The first frame of a GIF at its place on the canvas, which is transparent elsewhere."""
    left, top = image.page_x, image.page_y
    frame = to_pillow(image, _prepare(image, None)).convert("RGBA")
    if frame.size == (header.width, header.height):
        return frame
    canvas = Pillow.new("RGBA", (header.width, header.height))
    canvas.paste(frame, (left, top))
    return canvas
