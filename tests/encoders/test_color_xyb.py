"""XYB, the colours of jpegli and JPEG XL: an RGB profile of tables, a cube and a matrix."""

import itertools
import struct
from functools import lru_cache
from pathlib import Path

from PIL import Image

from encoders import icc
from encoders.converter import Converter
from tests.encoders.colors import by_littlecms, checker, worst
from tests.encoders.pictures import opened, plan

OPSIN = (
    (0.30, 0.622, 0.078),
    (0.23, 0.692, 0.078),
    (0.24342268924547819, 0.20476744424496821, 0.5518098665095536),
)
"""Linear sRGB to cones (ISO/IEC 18181-1)."""
BIAS = 0.0037930732552754493
ROOT = BIAS ** (1 / 3)
OFFSET = (0.015386134, 0.0, 0.27770459)
SCALE = (22.995788804, 1.183000077, 1.502141333)
"""X, Y and B - Y, brought to 0 to 1, as jpegli stores them."""


@lru_cache
def xyb(color: tuple[int, int, int]) -> tuple[int, ...]:
    """8-bit sRGB to the three bytes that are stored."""
    light = tuple(icc._srgb_to_light(value / 255) for value in color)
    long, medium, short = ((value + BIAS) ** (1 / 3) - ROOT for value in icc._apply(OPSIN, light))
    x, y = (long - medium) / 2, (long + medium) / 2
    parts = zip((x, y, short - y), OFFSET, SCALE, strict=True)
    return tuple(round(255 * min(max((v + o) * s, 0), 1)) for v, o, s in parts)


def profile() -> bytes:
    """Type mAB (ICC.1:2010, 10.10): a table to roots of cones, their cubes, a matrix to XYZ."""
    low, high = (-0.05, -0.05, -0.3), (0.95, 0.95, 1.3)
    table = b""
    for stored in itertools.product((0, 1), repeat=3):
        x, y, b = (v / s - o for v, s, o in zip(stored, SCALE, OFFSET, strict=True))
        roots = zip((y + x, y - x, b + y), low, high, strict=True)
        table += struct.pack(">3H", *(round(65535 * (v - lo) / (hi - lo)) for v, lo, hi in roots))
    straight = struct.pack(">4s4xHxxi", b"para", 0, 1 << 16) * 3
    cubes = b"".join(
        struct.pack(">4s4xHxx", b"para", 4)
        + icc._fixed((3, hi - lo, lo + ROOT, 0, -(lo + ROOT) / (hi - lo), -BIAS, -BIAS))
        for lo, hi in zip(low, high, strict=True)
    )
    # XYZ is stored in units of 1 + 32767 / 32768.
    matrix = icc._product(icc._to_xyz(icc.SRGB_PRIMARIES), icc._inverse(OPSIN))
    numbers = [value * 32768 / 65535 for row in matrix for value in row] + [0, 0, 0]
    grid = bytes((2, 2, 2)).ljust(16, b"\0") + b"\2\0\0\0" + table
    parts = [straight, icc._fixed(numbers), cubes, grid, straight]
    starts = [32 + sum(map(len, parts[:index])) for index in range(5)]
    head = struct.pack(">4s4xBBxx5I", b"mAB ", 3, 3, *starts)
    made = icc._profile(b"scnr", b"XYZ ", {"A2B0": head + b"".join(parts)})
    return made[:8] + b"\x04\x20\0\0" + made[12:]


def test_xyb_jpeg(shared: Converter, tmp_path: Path) -> None:
    """Its three bytes stand in the file as they are (Adobe's transform 0)."""
    expected = checker()
    stored = Image.new("RGB", expected.size)
    for place in itertools.product(range(expected.width), range(expected.height)):
        stored.putpixel(place, xyb(expected.getpixel(place)))
    source = tmp_path / "source"
    stored.save(source, "JPEG", quality=100, keep_rgb=True, icc_profile=profile())
    outcome = shared.convert(plan(source, tmp_path, "png"))
    made = opened(tmp_path / "out.png")
    assert outcome.warnings == ()
    assert worst(made, by_littlecms(opened(source), profile())) < 2
    assert worst(made, expected) < 4, "eight bits of XYB are coarse"
    assert worst(stored, expected) > 20
