"""Which kinds of stores there are. Asking loads no client library, so web processes may."""

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from delivery.backends.base import Backend

GROUP = "pixerve.backends"
"""Entry point group: ``name = "package.module:Class"`` adds a kind of store."""

_BUILT_IN = {
    "s3": "delivery.backends.s3:S3",
    "gcs": "delivery.backends.gcs:Gcs",
    "sftp": "delivery.backends.sftp:Sftp",
    "local": "delivery.backends.local:Local",
}


@cache
def _places() -> dict[str, str]:
    """Type -> dotted path; a built-in backend cannot be replaced from outside."""
    return {point.name: point.value for point in entry_points(group=GROUP)} | _BUILT_IN


@cache
def load(name: str) -> Backend:
    """The backend of a type. Raises KeyError for an unknown one."""
    module, _, attribute = _places()[name].partition(":")
    return cast("Backend", getattr(import_module(module), attribute)())


def forget() -> None:
    """Look at the installed entry points anew, after one was installed or removed."""
    _places.cache_clear()
    load.cache_clear()


def names() -> tuple[str, ...]:
    """The types: built-in ones first, then those of entry points."""
    return (*_BUILT_IN, *sorted(_places().keys() - _BUILT_IN.keys()))
