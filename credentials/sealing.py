"""Secrets at rest: MultiFernet under `PIXERVE_CREDENTIAL_KEYS`, newest key first.

A sealed text is bound to a purpose, so that one row's secret cannot be put into another's place.
"""

import hashlib
import json
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class Unreadable(Exception):
    """The sealed text was made with a key that is no longer known, or for another purpose."""


@lru_cache(maxsize=8)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def seal(value: object, *, purpose: str) -> str:
    """`value` (anything JSON can hold) as ciphertext, readable only for the same `purpose`."""
    plain = json.dumps([purpose, value]).encode()
    return _fernet(settings.KEYS.credential_keys).encrypt(plain).decode()


def unseal(sealed: str, *, purpose: str) -> object:
    """What `seal` was given. Raises Unreadable."""
    return _unseal(settings.KEYS.credential_keys, sealed, purpose)


def _unseal(keys: tuple[str, ...], sealed: str, purpose: str) -> object:
    try:
        bound_to, value = json.loads(_fernet(keys).decrypt(sealed.encode()))
    except (InvalidToken, ValueError, TypeError):
        raise Unreadable("sealed with a key that is not in PIXERVE_CREDENTIAL_KEYS") from None
    if bound_to != purpose:
        raise Unreadable("sealed for another purpose")
    return value


def newest_key_id() -> str:
    """The name of the key that `seal` uses: the start of its SHA-256, which tells nothing of it."""
    key: str = settings.KEYS.credential_keys[0]
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def is_newest(sealed: str, *, purpose: str) -> bool:
    """Whether the newest key alone can read it."""
    try:
        _unseal(settings.KEYS.credential_keys[:1], sealed, purpose)
    except Unreadable:
        return False
    return True
