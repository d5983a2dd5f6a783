"""What ImageMagick found wrong with a picture that it decoded all the same.

A truncated JPEG is filled up with grey and only warned about. Version 6 keeps its warnings at the
image and version 7 at the wand, where Wand looks at neither, and both show only the first: one
about a stray byte hides the one about missing pixels. Every warning passes through the log, so
they are heard there. Most are harmless (odd XMP, a broken EXIF block), so only those of the JPEG
library that mean missing or wrong pixels count. Bytes left over before a restart marker do: the
blocks before it were read from the wrong bits. Before any other marker they only raise a doubt, as
cameras leave some there.
"""

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from wand.api import libmagick

_MISSING_PIXELS = re.compile(
    rb"premature end of (?:jpeg file|data segment)|bad (?:huffman|arithmetic) code"
    rb"|found marker \S+ instead|extraneous bytes before marker 0xd[0-7]",
    re.IGNORECASE,
)
_LEFT_OVER = re.compile(rb"(\d+) extraneous bytes before marker 0x(?:d9|da|c4)")
_LogMethod = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p)


@dataclass
class Heard:
    """What was said of one picture."""

    damage: list[str] = field(default_factory=list)
    """Complaints about missing pixels, in the decoder's own words."""
    left_over: int = 0
    """Bytes behind the last block of a scan that belong to none: the most behind any scan."""


_heard = Heard()


@contextmanager
def complaints() -> Iterator[Heard]:
    """What is said while the ``with`` lasts.

    One at a time: ImageMagick has one log for the whole process.
    """
    _heard.damage, _heard.left_over = [], 0
    yield _heard


def _hear(_kind: int, message: bytes | None) -> None:
    if match := _MISSING_PIXELS.search(message or b""):
        _heard.damage.append(match.group(0).decode().lower())
    if match := _LEFT_OVER.search(message or b""):
        _heard.left_over = max(_heard.left_over, int(match.group(1)))


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
