"""HEIC and AVIF files that no writer makes: one coded picture, put into a container of our own."""

import struct
from collections.abc import Callable
from typing import Any

FULL = bytes(4)
_ALPHA_ITEM = 9


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + name + body


def irot(quarters: int) -> bytes:
    """Turns anticlockwise."""
    return box(b"irot", bytes([quarters]))


def imir(axis: int) -> bytes:
    """0 exchanges top and bottom, 1 left and right."""
    return box(b"imir", bytes([axis]))


def nclx(primaries: int, transfer: int) -> bytes:
    """Matrix 6 (BT.601) and full range, as Pillow encodes."""
    return box(b"colr", b"nclx" + struct.pack(">HHHB", primaries, transfer, 6, 0x80))


TURNS = {
    1: [],
    2: [imir(1)],
    3: [irot(2)],
    4: [imir(0)],
    5: [irot(1), imir(0)],
    6: [irot(3)],
    7: [irot(1), imir(1)],
    8: [irot(1)],
}
"""EXIF orientation -> the properties that mean the same; MIAF wants irot before imir."""


def remuxed(
    data: bytes,
    extra: list[bytes],
    *,
    exif: bytes = b"",
    without: tuple[bytes, ...] = (),
    tone_map: bool = False,
    alpha: bool = False,
) -> bytes:
    """The primary picture of ``data`` with more properties, and an EXIF block if given.

    ``tone_map`` adds what ISO 21496-1 does: a gain map (the picture itself) and an item of how it
    is to be used, all of whose fractions are 1 / 1. ``alpha`` makes the picture's own brightness
    its transparency, too.
    """
    meta = _find(data, b"meta")[4:]
    available = list(_boxes(_find(_find(meta, b"iprp"), b"ipco")))
    properties = [each for each in available if each[4:8] not in without] + extra
    coded = _find(data, b"mdat")
    ftyp = data[: int.from_bytes(data[:4], "big")]
    kind = b"av01" if b"avif" in ftyp else b"hvc1"
    items = [(1, kind, coded)]
    if exif:
        items.append((2, b"Exif", struct.pack(">I", 0) + exif))
    if tone_map:
        items.append((2, kind, coded))
        items.append((3, b"tmap", bytes(6) + struct.pack(">14I", *[1] * 14)))
        ftyp = box(b"ftyp", ftyp[8:] + b"tmap")
    if alpha:
        items.append((_ALPHA_ITEM, kind, coded))
    head = _meta(items, properties, [0] * len(items))
    offsets, at = [], len(ftyp) + len(head) + 8
    for _, _, body in items:
        offsets.append(at)
        at += len(body)
    payload = b"".join(body for _, _, body in items)
    return ftyp + _meta(items, properties, offsets) + box(b"mdat", payload)


def _meta(items: list[tuple[int, bytes, bytes]], properties: list[bytes], at: list[int]) -> bytes:
    hdlr = box(b"hdlr", FULL + bytes(4) + b"pict" + bytes(13))
    pitm = box(b"pitm", FULL + struct.pack(">H", 1))
    places = b"".join(
        struct.pack(">HHHII", number, 0, 1, offset, len(body))
        for (number, _, body), offset in zip(items, at, strict=True)
    )
    iloc = box(b"iloc", FULL + struct.pack(">BBH", 0x44, 0, len(items)) + places)
    entries = b"".join(
        box(b"infe", b"\2\0\0\0" + struct.pack(">HH", number, 0) + kind + b"\0")
        for number, kind, _ in items
    )
    iinf = box(b"iinf", FULL + struct.pack(">H", len(items)) + entries)
    links = b"".join(
        {
            b"Exif": box(b"cdsc", struct.pack(">HHH", number, 1, 1)),
            b"tmap": box(b"dimg", struct.pack(">HHHH", number, 2, 1, 2)),
        }.get(kind, b"")
        for number, kind, _ in items
    )
    if _ALPHA_ITEM in [number for number, _, _ in items]:
        links += box(b"auxl", struct.pack(">HHH", _ALPHA_ITEM, 1, 1))
    iref = box(b"iref", FULL + links) if links else b""
    used = bytes(0x80 | (index + 1) for index in range(len(properties)))
    pictures = [number for number, kind, _ in items if kind != b"Exif"]
    lists = b"".join(
        struct.pack(">HB", number, len(mine)) + mine
        for number in pictures
        for mine in [used + bytes([len(used) + 1] * (number == _ALPHA_ITEM))]
    )
    aux = box(b"auxC", FULL + b"urn:mpeg:hevc:2015:auxid:1\0")
    ipma = box(b"ipma", FULL + struct.pack(">I", len(pictures)) + lists)
    iprp = box(b"iprp", box(b"ipco", b"".join([*properties, aux])) + ipma)
    return box(b"meta", FULL + hdlr + pitm + iloc + iinf + iref + iprp)


def _boxes(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found.append(data[at : at + length])
        at += length
    return found


def _find(data: bytes, name: bytes) -> bytes:
    return next(each[8:] for each in _boxes(data) if each[4:8] == name)


def coded_part(data: bytes, part: float) -> bytes:
    """``data`` with that part of its coded picture, in a container that is whole."""
    return recoded(data, lambda coded: coded[: int(len(coded) * part)])


def recoded(
    data: bytes, change: Callable[[bytes], bytes], extra: tuple[bytes, ...] = (), **how: Any
) -> bytes:
    """``data`` with its coded picture changed; the rest as in ``remuxed``."""
    coded = _find(data, b"mdat")
    at = data.index(coded)
    return remuxed(data[: at - 8] + box(b"mdat", change(coded)), list(extra), **how)
