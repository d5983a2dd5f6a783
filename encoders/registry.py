"""Which output formats there are. Nothing here loads native code, so web processes may ask."""

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from encoders.encoder import Encoder

GROUP = "pixerve.encoders"
"""Entry point group: ``name = "package.module:Class"`` adds a format."""

_BUILT_IN = {
    "jpg": "encoders.jpg:Jpg",
    "png": "encoders.png:Png",
    "webp": "encoders.webp:Webp",
    "avif": "encoders.avif:Avif",
    "gif": "encoders.gif:Gif",
    "tiff": "encoders.tiff:Tiff",
}
_ALIASES = {"jpeg": "jpg"}


@cache
def _places() -> dict[str, str]:
    """Format name -> dotted path; a built-in format cannot be replaced from outside."""
    return {point.name: point.value for point in entry_points(group=GROUP)} | _BUILT_IN


@cache
def load(name: str) -> Encoder:
    """The encoder of a canonical name. Raises KeyError for an unknown one."""
    module, _, attribute = _places()[name].partition(":")
    return cast("Encoder", getattr(import_module(module), attribute)())


def forget() -> None:
    """Look at the installed entry points anew, after one was installed or removed."""
    _places.cache_clear()
    load.cache_clear()


def names() -> tuple[str, ...]:
    """The canonical output format names: built-in ones first, then those of entry points."""
    return (*_BUILT_IN, *sorted(_places().keys() - _BUILT_IN.keys()))


def canonical(name: str) -> str | None:
    """The canonical name (``jpeg`` is ``jpg``), or None for an unknown format."""
    name = _ALIASES.get(name, name)
    return name if name in _places() else None


def extension(name: str) -> str:
    """The file extension of a canonical name, without the dot."""
    return load(name).extension


def media_type(name: str) -> str:
    """The media type of a canonical name."""
    return load(name).media_type


def settings_of(name: str) -> frozenset[str]:
    """Which fields of ``encoders.plan.Settings`` the format of a canonical name can use."""
    return load(name).settings
