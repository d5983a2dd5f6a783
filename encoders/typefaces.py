"""The fonts that a watermark may be set in, by family: those of this package and of the owner.

A token names a family, never a file. Pure Python: the process that judges tokens lists them, the
child that draws looks the file up.
"""

import logging
from functools import cache
from itertools import islice
from pathlib import Path

from encoders import sfnt
from encoders.errors import PictureError

logger = logging.getLogger("pixerve.encoders")

BUNDLED = Path(__file__).parent / "fonts"
DEFAULT = "DejaVu Sans"
MAX_FILES = 500
MAX_FILE_BYTES = 32 << 20
_ENDINGS = frozenset({".ttf", ".otf"})
_PLAIN = frozenset({"regular", "book", "roman", "normal", "medium", ""})
"""Styles that go without saying: "DejaVu Sans Book" is "DejaVu Sans"."""


@cache
def families(folder: Path | None) -> dict[str, Path]:
    """Name -> file of every font here and in ``folder``, which is read once in a process.

    Upright text faces go by their family, others by family and style ("DejaVu Sans Bold"). The
    owner's font wins over a bundled one of the same name. Files that are no fonts are logged and
    passed over; so is a folder that cannot be read.
    """
    found = _in(BUNDLED)
    if folder is not None:
        found |= _in(folder)
    return dict(sorted(found.items()))


def file_of(family: str, folder: Path | None) -> Path:
    """The font of a family. Raises PictureError ``font_unavailable``."""
    path = families(folder).get(family)
    if path is None:
        raise PictureError("font_unavailable", f"There is no font {family!r} on this server.")
    return path


def _in(folder: Path) -> dict[str, Path]:
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _ENDINGS)
    except OSError as error:
        logger.warning("The fonts in %s cannot be listed: %s", folder, error.strerror)
        return {}
    found: dict[str, Path] = {}
    for path in islice(files, MAX_FILES):
        name = _name(path)
        if name:
            found.setdefault(name, path)
    return found


def _name(path: Path) -> str | None:
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            logger.warning("The font %s is not used: it is no file of a font's size", path)
            return None
        family, style = sfnt.names(path)
    except (OSError, ValueError) as error:
        logger.warning("The font %s is not used: %s", path, error)
        return None
    return family if style.lower() in _PLAIN else f"{family} {style}"
