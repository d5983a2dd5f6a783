"""From a file to upright 8-bit pixels: one decode, with the decoder that its bytes ask for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image as Pillow

from encoders import icc
from encoders.animation import is_animated, open_animation
from encoders.blocks import Blocks
from encoders.decoders import Decoded, avif, libheif, libwebp, magick, pillow_png, turbo
from encoders.exif import SIDEWAYS
from encoders.geometry import Size
from encoders.header import Header
from encoders.headers import heif, jpeg, png, webp
from encoders.metadata import exif_of_tiff
from encoders.picture import Frame
from encoders.reader import Reader
from encoders.slack import NONE, Slack, of_scaled, transposed

_TURNS = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
_OPAQUE = 255
_BLOCKS: dict[str, Callable[[Reader], Blocks]] = {
    "jpeg": jpeg.blocks,
    "png": png.blocks,
    "webp": webp.blocks,
    "heic": heif.blocks,
}
"""Of HEIC only the profile."""


@dataclass(frozen=True)
class Source:
    """A decoded picture: frames upright, mode RGB, RGBA or CMYK, colours still as in the file.

    ``frames`` can be walked through once; animations are decoded frame by frame on the way.
    ``profile`` describes the colours, whether the file gave it or said it in another way.
    """

    frames: Iterable[Frame]
    profile: bytes | None
    loop: int = 0
    slack: Slack = NONE
    """What of every frame lies beyond the picture."""
    exif: bytes | None = None
    """A TIFF structure without prefix, as in the file: it may be broken."""
    xmp: bytes | None = None
    """A packet, as in the file: it may be broken."""
    is_rgb: bool = True
    """The pixels are the file's own, and of three colours: they can be kept as they are."""
    doubtful: bool = False
    """Some of the pixels may be wrong."""
    alpha_lost: bool = False
    """The file has transparency, the frames have none."""
    is_hdr: bool = False
    """The values are PQ or HLG; ``profile`` maps them to SDR."""


def open_source(
    path: Path, header: Header, largest: Size, work_dir: Path, *, animated: bool = False
) -> Source:
    """Decode the file. ``largest`` is the largest upright size needed: JPEG and WebP are shrunk
    on load.

    ``animated`` asks for all frames. ``work_dir`` is a private folder. Raises PictureError
    damaged_picture or out_of_memory.
    """
    # Of an animated WebP ImageMagick decodes every frame to give the first.
    if is_animated(header) and (animated or header.format == "webp"):
        return _open_animation(path, header)
    hint = largest[::-1] if header.orientation in SIDEWAYS else largest
    decoded = _decode(path, header, hint, work_dir)
    image, blocks = decoded.image, decoded.blocks
    turn = header.orientation if decoded.turn is None else decoded.turn
    # Only libjpeg rounds up what it covers in part; libwebp fills every pixel.
    stored = header.width, header.height
    slack = of_scaled(stored, image.size) if header.format == "jpeg" else NONE
    if turn in _TURNS:
        image = image.transpose(_TURNS[turn])
        slack = transposed(slack, _TURNS[turn])
    if image.mode == "RGBA" and image.getchannel("A").getextrema()[0] == _OPAQUE:
        image = image.convert("RGB")
    profile, is_hdr = (None, False) if decoded.converted else _profile(header, blocks)
    return Source(
        (Frame(image),),
        profile,
        slack=slack,
        exif=blocks.exif,
        xmp=blocks.xmp,
        is_rgb=image.mode != "CMYK" and not decoded.converted,
        doubtful=decoded.doubtful,
        alpha_lost=header.has_alpha and decoded.image.mode != "RGBA",
        is_hdr=is_hdr,
    )


def _open_animation(path: Path, header: Header) -> Source:
    found = open_animation(path, header)
    turn = _TURNS.get(found.orientation)
    frames = found.frames
    if turn is not None:
        frames = (Frame(frame.image.transpose(turn), frame.duration_ms) for frame in found.frames)
    return Source(frames, found.profile, found.loop)


def _decode(path: Path, header: Header, hint: Size, work_dir: Path) -> Decoded:
    """By the library that is best at the format, else by ImageMagick."""
    if header.format == "avif":
        return avif.decode(path, header)
    decoded: Decoded | None = None
    if header.format == "jpeg":
        decoded = turbo.decode(path, header, hint)
    elif header.format == "webp":
        decoded = libwebp.decode(path, header, hint)
    elif header.format == "png":
        decoded = pillow_png.decode(path, header)
    decoded = decoded or magick.decode(path, header, hint, work_dir)
    if header.has_alpha and decoded.image.mode == "RGB":
        decoded = replace(decoded, image=libheif.with_alpha(decoded.image, path))
    return replace(decoded, blocks=_blocks(path, header, decoded.blocks))


def _blocks(path: Path, header: Header, found: Blocks) -> Blocks:
    """What stands beside the pixels, by our own reading where the decoder's is another's."""
    if header.format == "tiff":
        return replace(found, exif=exif_of_tiff(path))
    if header.format not in _BLOCKS:
        return found
    with path.open("rb") as file:
        read = _BLOCKS[header.format](Reader(file, path.stat().st_size))
    if header.format == "heic":
        return replace(found, profile=read.profile)
    return read


def _profile(header: Header, blocks: Blocks) -> tuple[bytes | None, bool]:
    """The file's word on its colours, and whether it is HDR's.

    That the values are HDR's outweighs a profile; else the profile is more exact than code points,
    and these are than gamma. In PNG code points come first (third edition, section 4.3).
    """
    primaries, transfer = header.primaries, header.transfer
    if blocks.profile and transfer not in icc.HDR:
        primaries, transfer = icc.code_points_in(blocks.profile) or (primaries, transfer)
    stated = icc.from_code_points(primaries, transfer)
    if transfer in icc.HDR:
        return stated, True
    if stated and header.format == "png":
        return stated, False
    gamma = icc.from_gamma(blocks.gamma, blocks.chromaticities)
    return blocks.profile or stated or gamma, False
