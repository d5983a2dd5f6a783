"""The fonts that a watermark may be set in, by family: those of this package and of the owner.

A token names a family, never a file. Pure Python: the process that judges tokens lists them, the
child that draws looks the file up.
"""

import logging
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

from encoders import sfnt
from encoders.errors import PictureError
from encoders.sfnt import Face

logger = logging.getLogger("pixerve.encoders")

BUNDLED = Path(__file__).parent / "fonts"
DEFAULT = "DejaVu Sans"
MAX_FILES = 500
MAX_FILE_BYTES = 32 << 20
_ENDINGS = frozenset({".ttf", ".otf", ".ttc", ".otc"})
_PLAIN = frozenset({"regular", "book", "roman", "normal", "medium", ""})
"""Styles that go without saying: "DejaVu Sans Book" is "DejaVu Sans"."""


@cache
def families(folder: Path | None) -> dict[str, Face]:
    """Name -> place of every font here and in ``folder``, which is read once in a process.

    Upright text faces go by their family, others by family and style ("DejaVu Sans Bold"). The
    owner's font wins over a bundled one of the same name. Files that are no fonts are logged and
    passed over; so is a folder that cannot be read.
    """
    found = _in(BUNDLED)
    if folder is not None:
        found |= _in(folder)
    return dict(sorted(found.items()))


def face_of(family: str, folder: Path | None) -> Face:
    """The font of a family. Raises PictureError ``font_unavailable``."""
    face = families(folder).get(family)
    if face is None:
        raise PictureError("font_unavailable", f"There is no font {family!r} on this server.")
    return face


def _in(folder: Path) -> dict[str, Face]:
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS)
    except OSError as error:
        logger.warning("The fonts in %s cannot be listed: %s", folder, error.strerror)
        return {}
    found: dict[str, Face] = {}
    for path in islice(files, MAX_FILES):
        for name, face in _named(path):
            found.setdefault(name, face)
    return found


def _named(path: Path) -> Iterator[tuple[str, Face]]:
    """The fonts of a file by their names. One of a collection may be broken, the others good."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            logger.warning("The font %s is not used: it is no file of a font's size", path)
            return
        faces = sfnt.faces(path)
    except (OSError, ValueError) as error:
        logger.warning("The font %s is not used: %s", path, error)
        return
    for face in faces:
        try:
            family, style = sfnt.names(face)
        except (OSError, ValueError) as error:
            logger.warning("Font %d of %s is not used: %s", face.number, path, error)
        else:
            yield family if style.lower() in _PLAIN else f"{family} {style}", face
