"""Coded data of a JPEG that was changed in the middle: refused, or what libjpeg makes of it.

A changed bit can turn one valid code into another one; no decoder can see that. What can be seen,
the decoder's library says, and it must have been heard.
"""

import ctypes
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from encoders.converter import Converter
from encoders.decoders import turbo
from tests.encoders.damage import saved
from tests.encoders.pictures import difference, opened, plan
from tests.encoders.test_integrity import decoded

PLACES = range(1, 20)
LEFT_OVER = re.compile(r".* extraneous bytes before marker 0x(d9|da|c4)")
"""Harmless by itself: cameras leave bytes before the end, and editors between segments."""
KINDS = {
    f"{'progressive' if progressive else 'plain'}{' restarts' if every else ''}": {
        "progressive": progressive,
        "restart_marker_blocks": every,
    }
    for progressive in (False, True)
    for every in (0, 4)
}


def coded(data: bytes) -> range:
    """Where the data of the scans lie, headers of later scans among them."""
    at = data.index(b"\xff\xda") + 2
    return range(at + int.from_bytes(data[at : at + 2]), len(data) - 2)


def changed(data: bytes, change: bytes | None) -> list[bytes]:
    """``data`` with ``change`` in each of the places, or a byte inverted there."""
    found = []
    for place in PLACES:
        span = coded(data)
        at = span.start + len(span) * place // (len(PLACES) + 1)
        new = bytes([data[at] ^ 0xFF]) if change is None else change
        found.append(data[:at] + new + data[at + len(new) :])
    return found


def answers(pictures: list[bytes], folder: Path) -> list[dict[str, str]]:
    paths = [folder / str(number) for number in range(len(pictures))]
    for path, data in zip(paths, pictures, strict=True):
        path.write_bytes(data)
    return decoded(paths, folder)


def test_a_code_that_no_table_has_is_damage(tmp_path: Path) -> None:
    """Ones only are no code (T.81, annex C); eight bytes of them outlast the bits of a number.

    With restart markers: without any, libjpeg-turbo's fast decoder takes it for a zero and says
    nothing (jdhuff.c, HUFF_DECODE_FAST).
    """
    ones = b"\xff\0" * 8
    pictures = changed(saved("JPEG", quality=85, restart_marker_blocks=4), ones)
    assert {each.get("code") for each in answers(pictures, tmp_path)} == {"damaged_picture"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_marker_in_the_middle_is_damage(kind: str, tmp_path: Path) -> None:
    pictures = changed(saved("JPEG", quality=85, **KINDS[kind]), b"\xff\x37")
    assert {each.get("code") for each in answers(pictures, tmp_path)} == {"damaged_picture"}


def test_a_table_with_too_many_codes_is_damage(tmp_path: Path) -> None:
    data = bytearray(saved("JPEG", quality=85))
    data[data.index(b"\xff\xc4") + 5] = 3
    [answer] = answers([bytes(data)], tmp_path)
    assert answer["code"] == "damaged_picture"


@pytest.mark.skipif(turbo._LIBRARY is None, reason="libjpeg-turbo tells what it found")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", [None, bytes(16)], ids=["inverted", "zeros"])
def test_what_libjpeg_complains_of_is_refused(
    kind: str, change: bytes | None, tmp_path: Path
) -> None:
    pictures = changed(saved("JPEG", quality=85, **KINDS[kind]), change)
    passed = 0
    for data, answer in zip(pictures, answers(pictures, tmp_path), strict=True):
        complaint = complaint_of(data)
        if "code" in answer:
            assert (answer["code"], bool(complaint)) == ("damaged_picture", True), complaint
            continue
        passed += 1
        assert not complaint or LEFT_OVER.match(complaint), complaint
        with Image.open(io.BytesIO(data)) as image:
            assert difference(opened(Path(answer["pixels"])), image.convert("RGB")) < 1
    if KINDS[kind]["restart_marker_blocks"]:
        assert passed < len(pictures)


@pytest.mark.parametrize(
    ("left_over", "warned"),
    [(bytes(range(1, 41)), True), (bytes(40), False), (b"\xff" * 40, False), (b"pixerve", False)],
    ids=["other", "zeros", "ones", "few"],
)
def test_bytes_left_over_raise_a_doubt(
    left_over: bytes, warned: bool, shared: Converter, tmp_path: Path
) -> None:
    """Unless they are few, or what cameras fill up with."""
    (tmp_path / "source").write_bytes(saved("JPEG")[:-2] + left_over + b"\xff\xd9")
    outcome = shared.convert(plan(tmp_path / "source", tmp_path, "png"))
    assert [notice.code for notice in outcome.warnings] == ["damage_suspected"] * warned


def test_changed_bits_are_doubted_where_blocks_are_gone(shared: Converter, tmp_path: Path) -> None:
    pictures = [
        data
        for data in changed(saved("JPEG", quality=85), None)
        if LEFT_OVER.match(complaint_of(data))
    ]
    assert len(pictures) > 2
    for data in pictures:
        (tmp_path / "source").write_bytes(data)
        outcome = shared.convert(plan(tmp_path / "source", tmp_path, "png"))
        assert [notice.code for notice in outcome.warnings] == ["damage_suspected"]


def complaint_of(data: bytes) -> str:
    """The last thing that libjpeg-turbo says when it decodes all the same; empty for nothing."""
    library = ctypes.CDLL("libturbojpeg.so.0")
    library.tjInitDecompress.restype = ctypes.c_void_p
    library.tjGetErrorStr2.argtypes = (ctypes.c_void_p,)
    library.tjGetErrorStr2.restype = ctypes.c_char_p
    library.tjDestroy.argtypes = (ctypes.c_void_p,)
    library.tjDecompress2.argtypes = turbo._LIBRARY.tjDecompress2.argtypes
    handle = library.tjInitDecompress()
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
    pixels = (ctypes.c_ubyte * (width * height * 3))()
    source = (ctypes.c_ubyte * len(data)).from_buffer_copy(data)
    failed = library.tjDecompress2(
        handle, source, len(data), pixels, width, 0, height, turbo._RGB, 0
    )
    said = library.tjGetErrorStr2(handle).decode() if failed else ""
    library.tjDestroy(handle)
    return said
