"""Pictures that mean harm, made in code: small files that lie, swell or never end.

``REFUSED`` maps a name to (bytes, code of the refusal); None as the code means that any refusal
will do, or even a picture, as long as it costs little.
"""

import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image

from tests.encoders.lies import LIES
from tests.encoders.png import chunk, ihdr, png

Made = Callable[[], bytes]
BIG = 65_535


def saved(
    name: str, size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: object
) -> bytes:
    """A small good picture."""
    buffer = io.BytesIO()
    image = Image.linear_gradient("L").resize(size).convert(mode)
    image.save(buffer, name, **options)
    return buffer.getvalue()


# --- PNG


def _pixels(width: int, height: int) -> bytes:
    """All of one colour, one bit a pixel: 16000 x 16000 are 31 KB."""
    return chunk(b"IDAT", zlib.compress(bytes((1 + width // 8) * height), 9))


def deflated(megabytes: int) -> bytes:
    """That many megabytes of nothing, in a thousandth of it."""
    squeeze = zlib.compressobj(9)
    million = bytes(1_000_000)
    return b"".join(squeeze.compress(million) for _ in range(megabytes)) + squeeze.flush()


def _png_text_bomb() -> bytes:
    bomb = deflated(100)
    return png(
        ihdr(8, 8),
        chunk(b"iCCP", b"x\0\0" + bomb),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + bomb),
        chunk(b"zTXt", b"Comment\0\0" + bomb),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb),
        _pixels(8, 8),
    )


def _deep_png(*chunks: bytes) -> bytes:
    """8 x 8 pixels of 16 bits, which are ImageMagick's to read."""
    return png(ihdr(8, 8, 16, 2), *chunks, chunk(b"IDAT", zlib.compress(bytes(8 * (1 + 8 * 6)))))


def _many_text_bombs() -> bytes:
    """Each within the limits of libpng, 200 of them."""
    bomb = deflated(7)
    return _deep_png(*(chunk(b"zTXt", b"%d\0\0" % number + bomb) for number in range(200)))


def _text_of_a_profile() -> bytes:
    """ImageMagick makes room for as much as it claims to be."""
    return _deep_png(chunk(b"tEXt", b"Raw profile type exif\0\nexif\n1073741824\n" + b"00" * 9))


def _apng(told: int, frames: int, size: tuple[int, int] = (8, 8)) -> bytes:
    """acTL tells of some frames, and the file has others."""
    fctl = [
        chunk(b"fcTL", struct.pack(">IIIIIHHBB", at, *size, 0, 0, 1, 10, 0, 0))
        for at in range(frames)
    ]
    return png(ihdr(8, 8), chunk(b"acTL", struct.pack(">II", told, 0)), _pixels(8, 8), *fctl)


# --- JPEG


def _sof(width: int, height: int) -> bytes:
    components = b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
    return b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + components


def _jpeg_with(sof: Callable[[bytes], bytes]) -> bytes:
    """A small JPEG whose frame header went through ``sof``."""
    good = saved("JPEG")
    at = good.index(b"\xff\xc0")
    return good[:at] + sof(good[at : at + 19]) + good[at + 19 :]


def _scan_bomb() -> bytes:
    """A hundred thousand passes over a picture that is large, but within the limits."""
    good = saved("JPEG", (4000, 4000), "L", progressive=True)
    at = good.rindex(b"\xff\xda")
    return good[:-2] + good[at:-2][:200] * 100_000 + b"\xff\xd9"


def _second_scan() -> bytes:
    """A thousand scans after the one that held everything."""
    good = saved("JPEG", (1200, 1000), "L")
    at = good.index(b"\xff\xda")
    return good[:-2] + good[at:-2] * 1000 + b"\xff\xd9"


# --- GIF


def gif(size: tuple[int, int], *blocks: bytes) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", *size, 0x80, 0, 0) + bytes(6) + b"".join(blocks)


def gif_frame(width: int = 1, height: int = 1, left: int = 0, top: int = 0) -> bytes:
    return b"," + struct.pack("<HHHHB", left, top, width, height, 0) + b"\x02\x02\x4c\x01\0"


def _endless_gif() -> bytes:
    """Comments without end, and no trailer."""
    return gif((9, 9), gif_frame(9, 9), b"\x21\xfe" + b"\x01x" * 3_000_000)


# --- WebP


def riff_chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) & 1)


def webp(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _u24(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(3, "little") for number in numbers)


def vp8x(width: int, height: int, flags: int = 0) -> bytes:
    return riff_chunk(b"VP8X", bytes((flags, 0, 0, 0)) + _u24(width - 1, height - 1))


def anmf(place: tuple[int, int, int, int], data: bytes) -> bytes:
    left, top, width, height = place
    head = _u24(left // 2, top // 2, width - 1, height - 1, 10) + b"\0"
    return riff_chunk(b"ANMF", head + data)


ANIM = riff_chunk(b"ANIM", bytes(6))


def _still() -> bytes:
    """The chunk of a still picture of 40 x 30 pixels."""
    return saved("WEBP")[12:]


def _huffman() -> bytes:
    """Shaped like CVE-2023-4863: lossless data that asks for the largest code tables."""
    bits = (39) | (29 << 14)
    noise = zlib.compress(bytes(range(256)) * 40, 9) * 30
    return webp(riff_chunk(b"VP8L", b"\x2f" + struct.pack("<I", bits) + b"\xff" * 64 + noise))


# --- TIFF


def tiff(tags: dict[int, tuple[int, int, int]], following: int = 0, tail: bytes = b"") -> bytes:
    """One page; a tag is (kind, count, value)."""
    return _of_entries(sorted(tags.items()), following) + tail


def _of_entries(entries: list[tuple[int, tuple[int, int, int]]], following: int = 0) -> bytes:
    packed = b"".join(struct.pack("<HHII", tag, *what) for tag, what in entries)
    page = struct.pack("<H", len(entries)) + packed + struct.pack("<I", following)
    return b"II*\0" + struct.pack("<I", 8) + page


def tiff_tags(width: int, height: int, **other: int) -> dict[int, tuple[int, int, int]]:
    named = {"bits": 258, "compression": 259, "photometric": 262, "offset": 273, "samples": 277}
    named |= {"rows": 278, "bytes": 279, "tile_width": 322, "tile_height": 323, "tile_at": 324}
    values = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 64}
    values |= {named[name]: value for name, value in other.items()}
    return {tag: (4, 1, value) for tag, value in values.items()}


def _many_pages(count: int) -> bytes:
    """Each page is a width, a height and the offset of the next."""
    page = struct.pack("<HHHIIHHII", 2, 256, 4, 1, 9, 257, 4, 1, 9)
    step = len(page) + 4
    pages = [
        page + struct.pack("<I", 8 + step * (at + 1) if at + 1 < count else 0)
        for at in range(count)
    ]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(pages)


# --- AVIF and HEIC


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + name + body


def ispe(width: int, height: int) -> bytes:
    return box(b"ispe", bytes(4) + struct.pack(">II", width, height))


def heif(brand: bytes, properties: bytes, *more: bytes, count: int = 1) -> bytes:
    """A file whose first item has the first property; ``more`` boxes go into meta."""
    ipma = box(b"ipma", bytes(4) + struct.pack(">IHBB", 1, 1, 1, 1))
    iprp = box(b"iprp", box(b"ipco", properties) + ipma)
    meta = box(b"pitm", bytes(4) + struct.pack(">H", 1)) + iprp + b"".join(more)
    ftyp = box(b"ftyp", brand + bytes(4) + brand + b"mif1")
    return ftyp + box(b"meta", bytes(4) + meta) + box(b"mdat", bytes(64))


def _iloc(count: int) -> bytes:
    entry = struct.pack(">HHHII", 1, 0, 1, 0, 0xFFFFFFFF)
    return box(b"iloc", bytes(4) + b"\x44\0" + struct.pack(">H", count) + entry * count)


def _nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = box(b"meta", bytes(4) + inner)
    return inner


def _avif_with(change: Callable[[bytearray], None]) -> bytes:
    data = bytearray(saved("AVIF", (64, 64)))
    change(data)
    return bytes(data)


def _say_smaller(data: bytearray) -> None:
    """The container tells of 8 x 8 pixels, the data in it has 64 x 64."""
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", 8, 8)


REFUSED: dict[str, tuple[Made, str | None]] = {
    "png of zero width": (lambda: png(ihdr(0, 9), _pixels(1, 1)), "empty_picture"),
    "png of 65535 squared": (lambda: png(ihdr(BIG, BIG), _pixels(9, 9)), "side_too_long"),
    "png bomb": (lambda: png(ihdr(16_000, 16_000), _pixels(16_000, 16_000)), "too_many_pixels"),
    "png of 2^31": (lambda: png(ihdr(2**31, 2**31), _pixels(1, 1)), "side_too_long"),
    "png with two headers": (
        lambda: png(ihdr(8, 8), ihdr(9000, 9000), _pixels(9000, 9000)),
        "damaged_picture",
    ),
    "png with less data": (lambda: png(ihdr(9000, 9000, 8, 2), _pixels(9, 9)), "damaged_picture"),
    "png text bomb": (_png_text_bomb, None),
    "png of 200 text bombs": (_many_text_bombs, None),
    "png with a text of a gigabyte": (_text_of_a_profile, None),
    "apng of a billion frames": (lambda: _apng(10**9, 1), "too_many_frames"),
    "apng with more frames than told": (lambda: _apng(1, 600), "too_many_frames"),
    "apng with a frame off the canvas": (lambda: _apng(2, 2, (9000, 9000)), "damaged_picture"),
    "jpeg of height zero": (lambda: _jpeg_with(lambda _: _sof(40, 0)), "empty_picture"),
    "jpeg of 65535 squared": (lambda: _jpeg_with(lambda _: _sof(BIG, BIG)), "side_too_long"),
    "jpeg with two frame headers": (
        lambda: _jpeg_with(lambda sof: sof + _sof(9000, 9000)),
        "damaged_picture",
    ),
    "jpeg with a small header first": (
        lambda: _jpeg_with(lambda sof: _sof(8, 8) + sof),
        "damaged_picture",
    ),
    "jpeg of 100000 scans": (_scan_bomb, "damaged_picture"),
    "sequential jpeg of 1000 scans": (_second_scan, None),
    "jpeg without a picture": (lambda: b"\xff\xd8\xff\xd9", "damaged_picture"),
    "jpeg of fill bytes": (lambda: b"\xff\xd8" + b"\xff" * 2_000_000, "damaged_picture"),
    "gif of zero size": (lambda: gif((0, 0), gif_frame(0, 0), b";"), "empty_picture"),
    "gif of 65535 squared": (lambda: gif((BIG, BIG), gif_frame(), b";"), "side_too_long"),
    "gif with a huge first frame": (
        lambda: gif((9, 9), gif_frame(BIG, BIG), b";"),
        "side_too_long",
    ),
    "gif with a huge later frame": (
        lambda: gif((9, 9), gif_frame(9, 9), gif_frame(12_000, 12_000), b";"),
        "too_many_pixels",
    ),
    "gif with a far later frame": (
        lambda: gif((9, 9), gif_frame(9, 9), gif_frame(9, 9, BIG, BIG), b";"),
        "side_too_long",
    ),
    "gif of a million frames": (lambda: gif((9, 9), gif_frame() * 10**6, b";"), "too_many_frames"),
    "gif without an end": (_endless_gif, "damaged_picture"),
    "gif of 9000 x 9000 frames": (
        lambda: gif((9000, 9000), gif_frame(9000, 9000) * 400, b";"),
        "too_many_pixels",
    ),
    "webp of 2^24": (lambda: webp(vp8x(2**24, 2**24), _still()), "side_too_long"),
    "webp with a small canvas": (lambda: webp(vp8x(8, 8), _still()), "damaged_picture"),
    "webp with a large canvas": (lambda: webp(vp8x(9000, 9000), _still()), "damaged_picture"),
    "webp with a frame off its canvas": (
        lambda: webp(vp8x(20, 20, 2), ANIM, anmf((0, 0, 40, 30), _still())),
        "damaged_picture",
    ),
    "webp with a large picture in a small frame": (
        lambda: webp(vp8x(40, 30, 2), ANIM, anmf((0, 0, 8, 8), _still())),
        "damaged_picture",
    ),
    "webp of 100000 frames": (
        lambda: webp(vp8x(40, 30, 2), ANIM, anmf((0, 0, 40, 30), _still()[:16]) * 60_000),
        "too_many_frames",
    ),
    "webp with an exif of 4 GB": (
        lambda: webp(vp8x(40, 30, 8), _still(), b"EXIF\xff\xff\xff\xff"),
        None,
    ),
    "webp with an xmp of 4 GB": (
        lambda: webp(vp8x(40, 30, 4), b"XMP \xff\xff\xff\xff", _still()),
        "damaged_picture",
    ),
    "webp with wild code tables": (_huffman, "damaged_picture"),
    "tiff of zero height": (lambda: tiff(tiff_tags(9, 0)), "empty_picture"),
    "tiff of 65535 squared": (lambda: tiff(tiff_tags(BIG, BIG)), "side_too_long"),
    "tiff bomb": (lambda: tiff(tiff_tags(16_000, 16_000)), "too_many_pixels"),
    "tiff with a circle of pages": (lambda: tiff(tiff_tags(9, 9), 8, bytes(64)), "damaged_picture"),
    "tiff of 65535 pages": (lambda: _many_pages(65_535), "damaged_picture"),
    "tiff of 5000 pages": (lambda: _many_pages(5000), "too_many_frames"),
    "tiff of 65535 tags": (
        lambda: b"II*\0\x08\0\0\0\xff\xff" + struct.pack("<HHII", 270, 2, 2**31, 8) * 65_535,
        "damaged_picture",
    ),
    "tiff with a tag of 4 GB": (
        lambda: tiff(tiff_tags(9, 9) | {34675: (7, 2**32 - 1, 8)}, 0, bytes(128)),
        None,
    ),
    "tiff with two widths": (  # of which libtiff takes the first
        lambda: _of_entries([(256, (4, 1, 16_000)), *sorted(tiff_tags(9, 9_000).items())]),
        "damaged_picture",
    ),
    "tiff with a width elsewhere": (
        lambda: tiff(tiff_tags(9, 9) | {256: (16, 1, 9)}),
        "damaged_picture",
    ),
    "tiff with huge tiles": (
        lambda: tiff(tiff_tags(9, 9, tile_width=60_000, tile_height=60_000, tile_at=8)),
        "out_of_memory",
    ),
    "tiff of 65535 samples": (lambda: tiff(tiff_tags(9000, 9000, samples=BIG)), "damaged_picture"),
    "avif of zero width": (lambda: heif(b"avif", ispe(0, 9)), "empty_picture"),
    "avif of 2^32": (lambda: heif(b"avif", ispe(2**32 - 1, 2**32 - 1)), "side_too_long"),
    "avif with a large tile": (
        lambda: heif(b"avif", ispe(64, 64) + ispe(16_000, 16_000)),
        "too_many_pixels",
    ),
    "avif that says it is smaller": (lambda: _avif_with(_say_smaller), None),
    "avif with 65535 places": (
        lambda: heif(b"avif", ispe(64, 64), _iloc(BIG)),
        "damaged_picture",
    ),
    "heic of 65535 squared": (lambda: heif(b"heic", ispe(BIG, BIG)), "side_too_long"),
    "heic with 65535 places": (lambda: heif(b"heic", ispe(64, 64), _iloc(BIG)), "damaged_picture"),
    "heic of boxes in boxes": (
        lambda: heif(b"heic", ispe(64, 64), _nested(3000)),
        "damaged_picture",
    ),
    "heic of a million properties": (
        lambda: heif(b"heic", ispe(64, 64) + box(b"free", b"") * 400_000),
        "damaged_picture",
    ),
    "heic with a huge header": (
        lambda: heif(b"heic", ispe(64, 64) + box(b"free", bytes(5 << 20))),
        "damaged_picture",
    ),
    **LIES,
}
