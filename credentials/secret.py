"""The secret of one credential: sealed for its row, and recognised by its fingerprint."""

import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping

from django.conf import settings

from credentials.models import Credential
from credentials.sealing import Unreadable, newest_key_id, seal, unseal

FINGERPRINT_DIGITS = 16


def purpose(pk: uuid.UUID) -> str:
    """Binds a sealed secret to its row."""
    return f"credential {pk}"


def put(credential: Credential, secret: Mapping[str, str]) -> None:
    """Seal `secret` into the row, which is not saved; nothing is sealed where there is nothing."""
    credential.sealed = seal(dict(secret), purpose=purpose(credential.pk)) if secret else ""
    credential.key_id = newest_key_id() if secret else ""
    credential.fingerprint = fingerprint(secret)


def take(credential: Credential) -> dict[str, str]:
    """The secret fields. Raises Unreadable."""
    if not credential.sealed:
        return {}
    found = unseal(credential.sealed, purpose=purpose(credential.pk))
    if not isinstance(found, dict):
        raise Unreadable("sealed by something else")
    return {str(name): str(value) for name, value in found.items()}


def is_readable(credential: Credential) -> bool:
    """Whether the keys of today open it."""
    try:
        take(credential)
    except Unreadable:
        return False
    return True


def fingerprint(secret: Mapping[str, str]) -> str:
    """Equal for equal secrets; "" for none.

    Keyed with SECRET_KEY: from the database alone not even a short password can be guessed by it.
    """
    if not secret:
        return ""
    key = hmac.digest(settings.SECRET_KEY.encode(), b"pixerve credential fingerprint", "sha256")
    plain = json.dumps(secret, sort_keys=True).encode()
    return hmac.new(key, plain, hashlib.sha256).hexdigest()[:FINGERPRINT_DIGITS]
