"""AVIF and HEIC whose coded pictures are larger, or used more often, than their size tells."""

import io
import struct
from collections.abc import Callable

from PIL import Image

from tests.encoders.heif import box, recoded
from tests.encoders.pictures import IMAGES

HUGE = 16_384
_LARGE = 9_000


def _packed(*fields: tuple[int, int]) -> bytes:
    """Numbers of so many bits, and the stop bit behind them."""
    text = "".join(f"{value:0{bits}b}" for value, bits in fields) + "1"
    return int(text.ljust(-len(text) % 8 + len(text), "0"), 2).to_bytes((len(text) + 7) // 8)


def _golomb(value: int) -> tuple[int, int]:
    """ue(v) of H.265, section 9.2."""
    return value + 1, 2 * (value + 1).bit_length() - 1


# --- AV1


def _obu(kind: int, body: bytes) -> bytes:
    return bytes((kind << 3 | 2, len(body))) + body


def _sequence(side: int, *, reduced: bool) -> bytes:
    """A sequence header with 16 bits for a side, 8 bits a channel, 4:2:0, and no tools."""
    head = [(0, 3), (1, 1), (1, 1), (0, 5)] if reduced else [(0, 3), (0, 26)]
    size = [(15, 4), (15, 4), (side - 1, 16), (side - 1, 16)]
    tools = [] if reduced else [(0, 5), (0, 1), (0, 2)]
    return _obu(1, _packed(*head, *size, (0, 3), *tools, (0, 3), (0, 8)))


def _own_size() -> bytes:
    """A key frame that is shown and says that it has a size of its own."""
    return _obu(6, _packed((0, 1), (0, 2), (1, 1), (0, 1), (1, 1), (_LARGE, 16), (_LARGE, 16)))


def _avif(change: Callable[[bytes], bytes]) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(buffer, "AVIF")
    return recoded(buffer.getvalue(), change)


def _sequence_first(start: bytes) -> Callable[[bytes], bytes]:
    """Instead of the picture's own sequence header, which is 0A, a length, and as many bytes."""
    return lambda coded: start + coded[2 + coded[1] :]


# --- HEVC


def _parameters(side: int) -> bytes:
    """A sequence parameter set of one layer, 4:2:0."""
    sizes = [_golomb(0), _golomb(1), _golomb(side), _golomb(side)]
    return b"\x42\x01" + _packed((0, 4), (0, 3), (1, 1), (1, 96), *sizes, (0, 1)).replace(
        b"\0\0\0", b"\0\0\3\0"
    )


def _config(*units: bytes) -> bytes:
    arrays = b"".join(b"\x21\0\1" + len(unit).to_bytes(2) + unit for unit in units)
    return box(b"hvcC", b"\1" + bytes(20) + b"\3" + bytes([len(units)]) + arrays)


def _heic(config: bytes, start: bytes = b"") -> bytes:
    data = (IMAGES / "own_quarters.heic").read_bytes()
    return recoded(data, lambda coded: start + coded, (config,), without=(b"hvcC",))


def _in_band(unit: bytes) -> bytes:
    return len(unit).to_bytes(4) + unit


def _overlay(uses: int) -> bytes:
    """A picture of 64 x 64 that lays another one over itself, again and again."""
    side = 4000
    entry = box(b"infe", b"\2\0\0\0\0\2\0\0iovl\0")
    parts = struct.pack(">HH", 2, uses) + struct.pack(">H", 1) * uses
    size, other = (box(b"ispe", bytes(4) + struct.pack(">II", each, each)) for each in (64, side))
    used = struct.pack(">HBBHBB", 2, 1, 1, 1, 1, 2)
    meta = (
        box(b"pitm", bytes(4) + struct.pack(">H", 2))
        + box(b"iinf", bytes(4) + struct.pack(">H", 1) + entry)
        + box(b"iref", bytes(4) + box(b"dimg", parts))
        + box(
            b"iprp",
            box(b"ipco", size + other) + box(b"ipma", bytes(4) + struct.pack(">I", 2) + used),
        )
    )
    ftyp = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    return ftyp + box(b"meta", bytes(4) + meta) + box(b"mdat", bytes(64))


LIES: dict[str, tuple[Callable[[], bytes], str]] = {
    "avif with huge data": (
        lambda: _avif(_sequence_first(_sequence(HUGE, reduced=True))),
        "too_many_pixels",
    ),
    "avif with large data": (
        lambda: _avif(_sequence_first(_sequence(_LARGE, reduced=True))),
        "damaged_picture",
    ),
    "avif whose second sequence is huge": (
        lambda: _avif(lambda coded: coded + _sequence(HUGE, reduced=True)),
        "too_many_pixels",
    ),
    "avif whose frame is larger than its sequence": (
        lambda: _avif(lambda _: _sequence(64, reduced=False) + _own_size()),
        "side_too_long",
    ),
    "heic with huge data": (lambda: _heic(_config(_parameters(HUGE))), "too_many_pixels"),
    "heic with large data": (lambda: _heic(_config(_parameters(_LARGE))), "damaged_picture"),
    "heic with huge data that only the data tells": (
        lambda: _heic(_config(), _in_band(_parameters(HUGE))),
        "too_many_pixels",
    ),
    "heic that is made of one picture 1000 times": (lambda: _overlay(1000), "damaged_picture"),
}
"""Name -> a function that makes the file, and the code of its refusal."""
