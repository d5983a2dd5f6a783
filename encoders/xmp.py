"""XMP packets (ISO 16684-1): read as XML, and written anew without what belongs to the old file."""

import io
import re
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement
from xml.parsers import expat

LIMIT = 1 << 20
"""Bytes of a packet that is read."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_DC = "http://purl.org/dc/elements/1.1/"
_META = "adobe:ns:meta/"
_TIFF = "http://ns.adobe.com/tiff/1.0/"
_EXIF = "http://ns.adobe.com/exif/1.0/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_DROPPED = frozenset(
    {
        f"{{{_TIFF}}}Orientation",
        f"{{{_TIFF}}}ImageWidth",
        f"{{{_TIFF}}}ImageLength",
        f"{{{_EXIF}}}PixelXDimension",
        f"{{{_EXIF}}}PixelYDimension",
        f"{{{_EXIF}}}ColorSpace",
        f"{{{_XMP}}}Thumbnails",
    }
)
"""Properties that speak of the old file."""
_DROPPED_SPACES = (
    "{http://ns.adobe.com/hdr-gain-map/1.0/}",
    "{http://ns.apple.com/HDRGainMap/1.0/}",
    "{http://ns.google.com/photos/1.0/",
    "{http://ns.adobe.com/xmp/note/}",
)
"""Gain maps, motion photos, depth maps, and packets that go on elsewhere."""
_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,30}")
_RESERVED_PREFIX = re.compile(r"ns\d+|xml.*", re.IGNORECASE)
_HEAD = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
_TAIL = b'\n<?xpacket end="w"?>'


def rebuilt_xmp(packet: bytes) -> bytes:
    """The packet without thumbnails, sizes, orientation and gain maps. Raises ValueError."""
    root = _parse(packet)
    _clean(root)
    return _written(root)


def copyright_xmp(packet: bytes) -> bytes | None:
    """A packet of ``dc:rights`` and ``dc:creator`` only; None if it has neither."""
    root = _parse(packet)
    rights, creators = list(_texts(root, "rights")), list(_texts(root, "creator"))
    if not rights and not creators:
        return None
    ElementTree.register_namespace("dc", _DC)
    meta = Element(f"{{{_META}}}xmpmeta")
    about = SubElement(
        SubElement(meta, f"{{{_RDF}}}RDF"), f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""}
    )
    _add_list(about, "rights", "Alt", rights)
    _add_list(about, "creator", "Seq", creators)
    return _written(meta)


def _parse(packet: bytes) -> Element:
    """The root element. Entities are refused: they are what makes XML dangerous."""
    if len(packet) > LIMIT:
        raise ValueError(f"it has {len(packet)} bytes, {LIMIT} are allowed")
    text = packet.decode().strip("\0\ufeff \t\r\n")
    _refuse_entities(text)
    # No entities are left, and the child has bounded memory.
    events = ElementTree.iterparse(io.BytesIO(text.encode()), ("start-ns",))  # noqa: S314
    for _, (prefix, space) in events:
        if _PREFIX.fullmatch(prefix) and not _RESERVED_PREFIX.fullmatch(prefix):
            ElementTree.register_namespace(prefix, space)
    root = events.root  # type: ignore[attr-defined]
    if not isinstance(root, Element) or root.tag not in (f"{{{_META}}}xmpmeta", f"{{{_RDF}}}RDF"):
        raise ValueError("it is not XMP")
    return root


def _refuse_entities(text: str) -> None:
    """Raises ValueError. Only a DOCTYPE can declare one."""

    def refuse(*_: object) -> None:
        raise ValueError("it declares entities")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from None


def _clean(element: Element) -> None:
    for name in [name for name in element.attrib if _is_dropped(name)]:
        del element.attrib[name]
    for child in list(element):
        if _is_dropped(child.tag):
            element.remove(child)
        else:
            _clean(child)


def _is_dropped(name: str) -> bool:
    return name in _DROPPED or name.startswith(_DROPPED_SPACES)


def _texts(root: Element, name: str) -> Iterator[tuple[str | None, str]]:
    """Language and text of each value of the Dublin Core property ``name``."""
    for value in root.iter(f"{{{_DC}}}{name}"):
        for item in value.iter(f"{{{_RDF}}}li"):
            if item.text and item.text.strip():
                yield item.get(_LANG), item.text.strip()
    for holder in root.iter(f"{{{_RDF}}}Description"):
        if text := holder.get(f"{{{_DC}}}{name}"):
            yield None, text


def _add_list(about: Element, name: str, kind: str, values: list[tuple[str | None, str]]) -> None:
    if not values:
        return
    items = SubElement(SubElement(about, f"{{{_DC}}}{name}"), f"{{{_RDF}}}{kind}")
    for language, text in values:
        item = SubElement(items, f"{{{_RDF}}}li")
        item.text = text
        if kind == "Alt":
            item.set(_LANG, language or "x-default")


def _written(root: Element) -> bytes:
    ElementTree.register_namespace("rdf", _RDF)
    ElementTree.register_namespace("x", _META)
    return _HEAD + ElementTree.tostring(root, encoding="unicode").encode() + _TAIL
