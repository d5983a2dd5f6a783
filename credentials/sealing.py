"""Secrets at rest: MultiFernet under `PIXERVE_CREDENTIAL_KEYS`, newest key first.

A sealed text is bound to a purpose, so that one row's secret cannot be put into another's place.
"""

import json
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class Unreadable(Exception):
    """The sealed text was made with a key that is no longer known, or for another purpose."""


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def seal(value: object, *, purpose: str) -> str:
    """`value` (anything JSON can hold) as ciphertext, readable only for the same `purpose`."""
    plain = json.dumps([purpose, value]).encode()
    return _fernet(settings.KEYS.credential_keys).encrypt(plain).decode()


def unseal(sealed: str, *, purpose: str) -> object:
    """What `seal` was given. Raises Unreadable."""
    try:
        bound_to, value = json.loads(
            _fernet(settings.KEYS.credential_keys).decrypt(sealed.encode())
        )
    except (InvalidToken, ValueError, TypeError):
        raise Unreadable("sealed with a key that is not in PIXERVE_CREDENTIAL_KEYS") from None
    if bound_to != purpose:
        raise Unreadable("sealed for another purpose")
    return value
