"""The shape of an encoder. A new format is one class of this shape and one line to register it."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from PIL.Image import Image


class Encoder(Protocol):
    """Writes one upright sRGB picture as one format.

    The class is made without arguments, also in processes that never encode: import native code
    inside ``encode`` only. Built-in encoders are listed in ``encoders.registry``; others are found
    as entry points of the group ``pixerve.encoders``, whose name is the format's canonical name.
    """

    name: str
    extension: str
    media_type: str
    settings: frozenset[str]
    """Which of "quality" and "speed" the format can use."""
    alpha: bool
    """Whether the format keeps transparency; if not, it is handed a flattened picture."""

    def encode(self, picture: "Image", path: Path, quality: int, speed: int) -> None:
        """Write ``picture`` (mode RGB, or RGBA if ``alpha``) to ``path``, without metadata.

        Any exception but MemoryError and OSError ends the job with ``encode_failed``.
        """
