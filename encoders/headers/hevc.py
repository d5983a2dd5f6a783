"""HEVC (ITU-T H.265): for how large a picture data asks."""

from collections.abc import Iterator

from encoders.geometry import Size
from encoders.headers.bits import Bits
from encoders.headers.heif_items import Payload

_SEQUENCE = 33
"""nal_unit_type of a sequence parameter set."""
_HEADER_BYTES = 256
"""More than the part of a sequence parameter set that is read: 7 layers of 12 bytes are most."""
_LENGTH_SIZE_AT, _ARRAYS_AT = 21, 22
_ALL_PLANES = 3
_LAYER_BITS = 88


def configured_sizes(config: bytes) -> Iterator[Size]:
    """Of the sequence parameter sets in an ``hvcC`` box (ISO/IEC 14496-15, section 8.3.3.1)."""
    at = _ARRAYS_AT + 1
    for _ in range(int.from_bytes(config[_ARRAYS_AT:at])):
        count, at = int.from_bytes(config[at + 1 : at + 3]), at + 3
        for _ in range(count):
            length = int.from_bytes(config[at : at + 2])
            yield from _size(config[at + 2 : at + 2 + length])
            at += 2 + length
            if at > len(config):
                return


def sizes(payload: Payload, config: bytes) -> Iterator[Size]:
    """Of those in the data itself. What breaks off is left to the decoder."""
    length_bytes = (int.from_bytes(config[_LENGTH_SIZE_AT:_ARRAYS_AT]) & 3) + 1
    while payload.left >= length_bytes:
        length = payload.uint(length_bytes)
        if length > payload.left:
            return
        yield from _size(payload.peek(min(length, _HEADER_BYTES)))
        payload.skip(length)


def _size(unit: bytes) -> Iterator[Size]:
    """Nothing, unless it is a sequence parameter set (section 7.3.2.2) of the base layer."""
    head = int.from_bytes(unit[:2])
    if head >> 9 & 63 != _SEQUENCE or head >> 3 & 63:
        return
    # Section 7.4.2: a 3 keeps zeros from looking like the start of a unit.
    bits = Bits(unit[2:_HEADER_BYTES].replace(b"\0\0\3", b"\0\0"))
    bits.take(4)
    layers = bits.take(3)
    bits.take(1)
    _skip_levels(bits, layers)
    bits.exp_golomb()  # sps_seq_parameter_set_id
    if bits.exp_golomb() == _ALL_PLANES:
        bits.take(1)
    yield bits.exp_golomb(), bits.exp_golomb()


def _skip_levels(bits: Bits, layers: int) -> None:
    """profile_tier_level (section 7.3.3)."""
    bits.take(_LAYER_BITS + 8)
    present = [(bits.flag(), bits.flag()) for _ in range(layers)]
    if layers:
        bits.take(2 * (8 - layers))
    for has_profile, has_level in present:
        bits.take(_LAYER_BITS * has_profile + 8 * has_level)
