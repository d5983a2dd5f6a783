"""AV1 (AV1 Bitstream & Decoding Process Specification): for how large a picture data asks."""

from collections.abc import Iterator
from typing import NamedTuple

from encoders.geometry import Size
from encoders.headers.bits import Bits
from encoders.headers.heif_items import Payload

_SEQUENCE, _FRAMES = 1, frozenset({3, 6, 7})
_HEADER_BYTES = 512
"""Longer than any sequence header: 32 operating points of at most 11 bytes are most of it."""
_SWITCH = 3
_KEY = 0
_LONGEST_LENGTH = 8
_CHOSEN_BY_FRAME = 2


class _Sequence(NamedTuple):
    """What a sequence header says that is needed to find a frame's size."""

    size: Size
    largest: Size
    """What a frame with a size of its own could have."""
    reduced: bool
    time_bits: int
    """Of the time that each shown frame has; 0 for none."""
    id_bits: int
    screen_tools: int
    integer_motion: int


def sizes(payload: Payload) -> Iterator[Size]:
    """Each size that the data (a row of OBUs) has a decoder make room for.

    Where a frame says that it has a size of its own, the largest that it could say. What breaks
    off is left to the decoder.
    """
    sequence: _Sequence | None = None
    while payload.left:
        head = payload.uint(1)
        payload.skip(head >> 2 & 1)
        length = _leb128(payload) if head & 2 else payload.left
        if length > payload.left:
            return
        kind, start = head >> 3 & 15, payload.peek(min(length, _HEADER_BYTES))
        if kind == _SEQUENCE:
            sequence = _sequence(Bits(start))
            yield sequence.size
        elif kind in _FRAMES and sequence and _has_own_size(sequence, Bits(start)):
            yield sequence.largest
        payload.skip(length)


def _leb128(payload: Payload) -> int:
    value = 0
    for index in range(_LONGEST_LENGTH):
        byte = payload.uint(1)
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            break
    return value


def _sequence(bits: Bits) -> _Sequence:
    """Section 5.5.1, up to what frame headers depend on."""
    bits.take(4)  # seq_profile, still_picture
    reduced = bits.flag()
    time_bits = 0
    if reduced:
        bits.take(5)
    else:
        time_bits = _operating_points(bits)
    wide, high = bits.take(4) + 1, bits.take(4) + 1
    size = bits.take(wide) + 1, bits.take(high) + 1
    id_bits, tools, motion = (0, 2, 2) if reduced else _tools(bits)
    return _Sequence(size, (1 << wide, 1 << high), reduced, time_bits, id_bits, tools, motion)


def _operating_points(bits: Bits) -> int:
    """Sections 5.5.1, 5.5.3 to 5.5.5; the bits of each shown frame's time."""
    delay_bits = time_bits = 0
    equal_intervals = has_model = False
    if bits.flag():  # timing_info_present_flag
        bits.take(64)
        equal_intervals = bits.flag()
        if equal_intervals:
            bits.exp_golomb()
        has_model = bits.flag()
        if has_model:
            delay_bits = bits.take(5) + 1
            bits.take(37)  # num_units_in_decoding_tick, buffer_removal_time_length_minus_1
            time_bits = bits.take(5) + 1
    has_display_delay = bits.flag()
    for _ in range(bits.take(5) + 1):
        bits.take(12)  # operating_point_idc
        if bits.take(5) > 7:  # noqa: PLR2004 - levels from 4.0 on have two tiers
            bits.take(1)
        if has_model and bits.flag():
            bits.take(2 * delay_bits + 1)
        if has_display_delay and bits.flag():
            bits.take(4)
    return 0 if equal_intervals else time_bits


def _tools(bits: Bits) -> tuple[int, int, int]:
    """Bits of frame ids, and who decides on screen content tools and on whole-pixel motion."""
    id_bits = 0
    if bits.flag():
        id_bits = bits.take(4) + 2
        id_bits += bits.take(3) + 1
    bits.take(7)  # superblocks, filters, compounds, warping, dual_filter
    if bits.flag():  # enable_order_hint
        bits.take(2)
    tools = _CHOSEN_BY_FRAME if bits.flag() else bits.take(1)
    if not tools:
        return id_bits, tools, _CHOSEN_BY_FRAME
    return id_bits, tools, _CHOSEN_BY_FRAME if bits.flag() else bits.take(1)


def _has_own_size(sequence: _Sequence, bits: Bits) -> bool:
    """Section 5.9.2, up to frame_size_override_flag."""
    if sequence.reduced or bits.flag():  # show_existing_frame
        return False
    kind, shown = bits.take(2), bits.flag()
    if shown:
        bits.take(sequence.time_bits)
    else:
        bits.take(1)
    if kind == _SWITCH:
        return True
    if kind != _KEY or not shown:
        bits.take(1)  # error_resilient_mode
    bits.take(1)  # disable_cdf_update
    tools = sequence.screen_tools
    if tools == _CHOSEN_BY_FRAME:
        tools = bits.take(1)
    if tools and sequence.integer_motion == _CHOSEN_BY_FRAME:
        bits.take(1)
    bits.take(sequence.id_bits)
    return bits.flag()
