"""Colours that a file states without a profile, as a profile: from then on there is one way.

Profiles are built after ICC.1:2001-04 (version 2.4), code points are those of ITU-T H.273.

HDR (PQ and HLG of ITU-R BT.2100-2) becomes a profile that maps to SDR: light relative to the
reference white of 203 cd/m² (ITU-R BT.2408) is kept up to half of it, and rolled off above so that
1000 cd/m² just reaches white. The largest of red, green and blue is what is rolled off, so hues
stay. White paper at 203 cd/m² becomes 232 of 255.
"""

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

Pair = tuple[float, float]
Triple = tuple[float, float, float]
Matrix = tuple[Triple, Triple, Triple]

PQ, HLG = 16, 18
HDR = frozenset({PQ, HLG})
"""The transfers of HDR."""
_D50: Triple = (0.9642, 1.0, 0.8249)
_D65: Pair = (0.3127, 0.3290)
SRGB_PRIMARIES: tuple[Pair, Pair, Pair, Pair] = (_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_PRIMARIES: dict[int, tuple[Pair, Pair, Pair, Pair]] = {
    5: (_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: (_D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    7: (_D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    9: (_D65, (0.708, 0.292), (0.17, 0.797), (0.131, 0.046)),
    11: ((0.314, 0.351), (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    12: (_D65, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
}
"""Code point -> x and y of white, red, green and blue. What is not here is taken for sRGB's."""
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
"""Code point -> exponent. What is not here (nearly all video) is taken for sRGB's curve."""
_BRADFORD: Matrix = (
    (0.8951, 0.2664, -0.1614),
    (-0.7502, 1.7135, 0.0367),
    (0.0389, -0.0685, 1.0296),
)
_WHITE_NITS = 203.0
_HLG_PEAK_NITS = 1000.0
_KNEE = 0.5
_GRID = 33
_MAX_TAGS = 100
_CURVE_POINTS = 1024


@lru_cache(maxsize=8)
def from_code_points(primaries: int, transfer: int) -> bytes | None:
    """The profile of a picture with these code points; None where that is sRGB."""
    places = _PRIMARIES.get(primaries, SRGB_PRIMARIES)
    if transfer in HDR:
        return _tone_mapping(places, transfer)
    gamma = _GAMMAS.get(transfer)
    if gamma is None and places == SRGB_PRIMARIES:
        return None
    return _matrix_profile(places, gamma)


@lru_cache(maxsize=8)
def from_gamma(gamma: float | None, chromaticities: tuple[float, ...] | None) -> bytes | None:
    """The profile of a PNG with these gAMA and cHRM chunks; None where that is about sRGB.

    Without gAMA there is nothing to go by (PNG, third edition, section 12.1). Values that make no
    sense are sRGB's.
    """
    if gamma is None or not 0.1 < gamma < 10:  # noqa: PLR2004 - far beyond any real device
        return None
    places = SRGB_PRIMARIES
    if chromaticities:
        x, y = chromaticities[::2], chromaticities[1::2]
        white, red, green, blue = zip(x, y, strict=True)
        places = (white, red, green, blue)
    try:
        if abs(gamma - 2.2) < 0.05 and _close(places, SRGB_PRIMARIES):  # noqa: PLR2004
            return None
        return _matrix_profile(places, gamma)
    except (ZeroDivisionError, struct.error):
        return from_gamma(gamma, None)


def code_points_in(profile: bytes) -> tuple[int, int] | None:
    """Primaries and transfer of an HDR profile (tag ``cicp`` of ICC.1:2022), which all but the
    newest libraries take for an ordinary one. None for any other profile."""
    count = int.from_bytes(profile[128:132], "big")
    for at in range(132, 132 + 12 * min(count, _MAX_TAGS), 12):
        if profile[at : at + 4] == b"cicp":
            start = int.from_bytes(profile[at + 4 : at + 8], "big")
            body = profile[start : start + 12]
            if len(body) == 12 and body[9] in HDR:  # noqa: PLR2004 - the length of the tag
                return body[8], body[9]
    return None


def _close(one: Sequence[Pair], other: Sequence[Pair]) -> bool:
    return all(math.dist(a, b) < 0.005 for a, b in zip(one, other, strict=True))  # noqa: PLR2004


def _matrix_profile(places: tuple[Pair, Pair, Pair, Pair], gamma: float | None) -> bytes:
    """Three colorants and one curve."""
    columns = tuple(zip(*_to_xyz(places), strict=True))
    curve = _curve(_srgb_to_light if gamma is None else lambda value: value**gamma)
    tags = {
        name: _xyz(column) for name, column in zip(("rXYZ", "gXYZ", "bXYZ"), columns, strict=True)
    }
    tags |= dict.fromkeys(("rTRC", "gTRC", "bTRC"), curve)
    return _profile(b"mntr", b"XYZ ", tags)


def _tone_mapping(places: tuple[Pair, Pair, Pair, Pair], transfer: int) -> bytes:
    """A table of 33³ nodes from code values to Lab."""
    matrix = _to_xyz(places)
    levels = [_light(index / (_GRID - 1), transfer) for index in range(_GRID)]
    weights = matrix[1]
    table = bytearray()
    for light in _nodes(levels):
        if transfer == HLG:
            luminance = sum(w * v for w, v in zip(weights, light, strict=True))
            scale = _HLG_PEAK_NITS / _WHITE_NITS * luminance**0.2
        else:
            scale = 1.0
        table += _lab(_apply(matrix, _rolled_off(light, scale)))
    head = struct.pack(">4s4xBBBx9iHH", b"mft2", 3, 3, _GRID, *_identity(), 2, 2)
    ramp = struct.pack(">6H", *(0, 0xFFFF) * 3)
    return _profile(b"scnr", b"Lab ", {"A2B0": head + ramp + bytes(table) + ramp})


def _nodes(levels: Sequence[float]) -> Iterator[Triple]:
    for red in levels:
        for green in levels:
            for blue in levels:
                yield red, green, blue


def _light(value: float, transfer: int) -> float:
    """PQ: light, relative to the reference white. HLG: scene light, 0 to 1 (BT.2100, 4 and 5)."""
    if transfer == PQ:
        root = value ** (1 / 78.84375)
        base = max(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
        return float(10_000 / _WHITE_NITS * base ** (1 / 0.1593017578125))
    if value <= 0.5:  # noqa: PLR2004 - where the square root ends
        return value * value / 3
    return (math.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12


def _rolled_off(light: Triple, scale: float) -> Triple:
    peak = max(light) * scale
    if peak > _KNEE:
        rest = 1 - _KNEE
        scale *= (_KNEE + rest * (1 - math.exp((_KNEE - peak) / rest))) / peak
    return light[0] * scale, light[1] * scale, light[2] * scale


def _lab(xyz: Triple) -> bytes:
    """CIE Lab in the 16 bits of ICC version 2 (0xFF00 is 100, or 127)."""
    x, y, z = (_root(value / white) for value, white in zip(xyz, _D50, strict=True))
    numbers = 652.8 * (116 * y - 16), 256 * (128 + 500 * (x - y)), 256 * (128 + 200 * (y - z))
    return struct.pack(">3H", *(min(max(round(number), 0), 0xFFFF) for number in numbers))


def _root(value: float) -> float:
    return value ** (1 / 3) if value > 216 / 24389 else (24389 / 27 * value + 16) / 116


def _srgb_to_light(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4  # noqa: PLR2004


def _to_xyz(places: tuple[Pair, Pair, Pair, Pair]) -> Matrix:
    """From linear RGB to XYZ with the white point D50 (Bradford)."""
    white, *corners = (_lift(place) for place in places)
    columns = _transposed((corners[0], corners[1], corners[2]))
    scales = _apply(_inverse(columns), white)
    unadapted = _transposed(
        tuple(
            tuple(part * scale for part in corner)
            for corner, scale in zip(corners, scales, strict=True)
        )  # type: ignore[arg-type]
    )
    return _product(_adaptation(white), unadapted)


def _lift(place: Pair) -> Triple:
    """Chromaticity to XYZ with Y = 1."""
    x, y = place
    return x / y, 1.0, (1 - x - y) / y


def _adaptation(white: Triple) -> Matrix:
    seen, wanted = _apply(_BRADFORD, white), _apply(_BRADFORD, _D50)
    gains = [want / see for want, see in zip(wanted, seen, strict=True)]
    diagonal: Matrix = ((gains[0], 0.0, 0.0), (0.0, gains[1], 0.0), (0.0, 0.0, gains[2]))
    return _product(_inverse(_BRADFORD), _product(diagonal, _BRADFORD))


def _apply(matrix: Matrix, vector: Triple) -> Triple:
    a, b, c = vector
    one, two, three = (row[0] * a + row[1] * b + row[2] * c for row in matrix)
    return one, two, three


def _transposed(matrix: Matrix) -> Matrix:
    one, two, three = zip(*matrix, strict=True)
    return one, two, three


def _product(left: Matrix, right: Matrix) -> Matrix:
    one, two, three = (_apply(left, column) for column in _transposed(right))
    return _transposed((one, two, three))


def _inverse(matrix: Matrix) -> Matrix:
    """Adjugate by determinant."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    by = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return (
        ((e * i - f * h) / by, (c * h - b * i) / by, (b * f - c * e) / by),
        ((f * g - d * i) / by, (a * i - c * g) / by, (c * d - a * f) / by),
        ((d * h - e * g) / by, (b * g - a * h) / by, (a * e - b * d) / by),
    )


def _identity() -> tuple[int, ...]:
    one = 1 << 16
    return (one, 0, 0, 0, one, 0, 0, 0, one)


def _fixed(values: Sequence[float]) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(values)


def _curve(to_light: Callable[[float], float]) -> bytes:
    steps = (to_light(index / (_CURVE_POINTS - 1)) for index in range(_CURVE_POINTS))
    numbers = [min(round(value * 0xFFFF), 0xFFFF) for value in steps]
    return struct.pack(f">4s4xI{_CURVE_POINTS}H", b"curv", _CURVE_POINTS, *numbers)


def _profile(kind: bytes, space: bytes, tags: dict[str, bytes]) -> bytes:
    """Header, tag table, tags; each tag starts at a multiple of four."""
    text = b"Pixerve\0"
    tags = {
        "desc": struct.pack(">4s4xI", b"desc", len(text)) + text + bytes(78),
        "cprt": b"text\0\0\0\0" + b"CC0\0",
        "wtpt": _xyz(_D50),
        **tags,
    }
    table, bodies = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, body in tags.items():
        table += struct.pack(">4sII", name.encode(), start + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    size = start + len(bodies)
    head = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, kind, b"RGB ", space)
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _fixed(_D50)
    return head.ljust(128, b"\0") + table + bodies
