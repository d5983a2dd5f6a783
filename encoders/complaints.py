"""What ImageMagick found wrong with a picture that it decoded all the same.

A truncated JPEG is filled up with grey and only warned about. Version 6 keeps its warnings at the
image and version 7 at the wand, where Wand looks at neither, and both show only the first: one
about a stray byte hides the one about missing pixels. Every warning passes through the log, so
they are heard there. Most are harmless (odd XMP, a broken EXIF block), so only those of the JPEG
library that mean missing or wrong pixels count. Bytes left over before a restart marker do: the
blocks before it were read from the wrong bits. Before any other marker they do not, as cameras
leave some there.
"""

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wand.api import libmagick

_MISSING_PIXELS = re.compile(
    rb"premature end of (?:jpeg file|data segment)|bad (?:huffman|arithmetic) code"
    rb"|found marker \S+ instead|extraneous bytes before marker 0xd[0-7]",
    re.IGNORECASE,
)
_LogMethod = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p)
_heard: list[str] = []


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Fills the list with complaints about missing pixels, in the decoder's own words.

    One at a time: ImageMagick has one log for the whole process.
    """
    _heard.clear()
    yield _heard


def _hear(_kind: int, message: bytes | None) -> None:
    if match := _MISSING_PIXELS.search(message or b""):
        _heard.append(match.group(0).decode().lower())


_callback = _LogMethod(_hear)
"""Kept here, as ImageMagick holds no reference to it."""


def _listen(core: Any) -> None:
    """What log.xml leaves to us: it silences the log, which otherwise goes to standard error."""
    core.SetLogMethod.argtypes = (_LogMethod,)
    core.SetLogMethod.restype = None
    core.SetLogEventMask.argtypes = (ctypes.c_char_p,)
    core.SetLogFormat.argtypes = (ctypes.c_char_p,)
    core.SetLogFormat.restype = None
    core.SetLogMethod(_callback)
    core.SetLogEventMask(b"Exception")
    core.SetLogFormat(b"%e")


_listen(libmagick)
