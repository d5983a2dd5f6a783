"""The shape of an encoder. A new format is one class of this shape and one line to register it."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from encoders.picture import Picture
    from encoders.plan import Settings


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
    """Which fields of ``encoders.plan.Settings`` the format can use."""
    alpha: bool
    """Whether the format keeps transparency; if not, it is handed a flattened picture."""
    animated: bool
    """Whether the format keeps an animation; if not, it is handed the first frame."""
    embeds: frozenset[str]
    """Which of "profile", "exif" and "xmp" the format can hold; it is handed no others."""

    def encode(self, picture: "Picture", path: Path, settings: "Settings") -> None:
        """Write ``picture`` (mode RGB, or RGBA if ``alpha``) to ``path``.

        Nothing but the picture's own profile, EXIF and XMP may be written beside its pixels. Runs
        beside other encoders on threads. Any exception but MemoryError and OSError ends the job
        with ``encode_failed``.
        """
