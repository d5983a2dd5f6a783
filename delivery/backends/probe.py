"""A round trip with a small object, as every store's ``probe`` makes it."""

import hashlib
import secrets
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from delivery.backends.base import Store
from delivery.backends.errors import ChecksumMismatch
from delivery.errors import DeliveryError

T = TypeVar("T")


def round_trip(store: Store) -> None:
    """Write, read back and delete; the DeliveryError says at which of them it failed."""
    content = f"A probe of Pixerve {secrets.token_hex(16)}\n".encode()
    key = f"pixerve-probe-{secrets.token_hex(8)}.txt"
    _step("writing", lambda: _write(store, key, content))
    try:
        if _step("reading back", lambda: store.read(key, len(content) + 1)) != content:
            raise ChecksumMismatch("reading back a probe object: the store has other bytes")
    except DeliveryError:
        with suppress(DeliveryError):
            store.delete(key)
        raise
    _step("deleting", lambda: store.delete(key))


def _write(store: Store, key: str, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(prefix="pixerve-probe-") as file:
        file.write(content)
        file.flush()
        store.put(
            key,
            Path(file.name),
            media_type="text/plain",
            cache_control="no-store",
            sha256=hashlib.sha256(content).hexdigest(),
        )


def _step(doing: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except DeliveryError as error:
        error.message = f"{doing} a probe object: {error.message}"
        raise
