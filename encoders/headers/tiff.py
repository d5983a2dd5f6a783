"""TIFF 6.0: size and orientation of the first page, and the number of pages."""

from typing import NamedTuple

from encoders.errors import damaged
from encoders.exif import ORIENTATION_TAG, ORIENTATIONS, UPRIGHT
from encoders.header import Header
from encoders.reader import Reader

_WIDTH_TAG, _HEIGHT_TAG = 256, 257
_ENTRY_BYTES = 12
_SHORT, _LONG = 3, 4
_MAX_PAGES = 10_000


class _Entry(NamedTuple):
    """One number of a page's directory, and where its bytes are in the file."""

    value: int
    at: int
    length: int


_ZERO = _Entry(0, 0, 0)


def parse(reader: Reader) -> Header:
    """Follow the chain of pages; a chain that loops or never ends is damage."""
    order = _order(reader)
    tags, following = _first_page(reader, order)
    seen: set[int] = set()
    while following:
        if following in seen or len(seen) >= _MAX_PAGES:
            raise damaged("The pages of the TIFF form an endless chain.")
        seen.add(following)
        reader.jump(following)
        following = _next_page(reader, order)
    turn = tags.get(ORIENTATION_TAG, _ZERO).value
    return Header(
        "tiff",
        tags.get(_WIDTH_TAG, _ZERO).value,
        tags.get(_HEIGHT_TAG, _ZERO).value,
        len(seen) + 1,
        turn if turn in ORIENTATIONS else UPRIGHT,
    )


def upright_patch(reader: Reader) -> tuple[int, bytes]:
    """The offset of the first page's orientation, and the bytes that make it 1."""
    order = _order(reader)
    tags, _ = _first_page(reader, order)
    _, at, length = tags[ORIENTATION_TAG]
    return at, UPRIGHT.to_bytes(length, "little" if order == "little" else "big")


def _order(reader: Reader) -> str:
    return "little" if reader.take(4).startswith(b"II") else "big"


def _first_page(reader: Reader, order: str) -> tuple[dict[int, _Entry], int]:
    """The directory of page 1, and the offset of the next page (0 = none)."""
    reader.jump(reader.uint(4, order))
    tags: dict[int, _Entry] = {}
    for _ in range(reader.uint(2, order)):
        tag, kind = reader.uint(2, order), reader.uint(2, order)
        reader.skip(4)
        value = reader.take(4)
        _check(tag, kind, again=tag in tags)
        length = 2 if kind == _SHORT else 4
        number = int.from_bytes(value[:length], "little" if order == "little" else "big")
        tags[tag] = _Entry(number, reader.position - 4, length)
    return tags, reader.uint(4, order)


def _check(tag: int, kind: int, *, again: bool) -> None:
    """What decides the size is said once, and as a number: readers differ in what they take of
    anything else, and the limits must be those of the one that decodes."""
    if tag in {_WIDTH_TAG, _HEIGHT_TAG} and (again or kind not in {_SHORT, _LONG}):
        raise damaged("The TIFF does not say clearly how large it is.")


def _next_page(reader: Reader, order: str) -> int:
    reader.skip(reader.uint(2, order) * _ENTRY_BYTES)
    return reader.uint(4, order)
