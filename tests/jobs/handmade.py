"""Upload tokens made by hand, so that they can be wrong in any way."""

import base64
import hashlib
import hmac
import json
import time
from dataclasses import replace
from typing import Any

import pytest
from pytest_django import Settings

from jobs import tokens
from jobs.errors import Unauthorized

SECRET = "a secret of at least thirty-two bytes, for tests"
OTHER = "another secret of at least thirty-two bytes, also"


def use(settings: Settings, *, secret: str | None = None, keys: str | None = None) -> None:
    settings.KEYS = replace(settings.KEYS, jwt_secret=secret, jwt_keys=keys)


def now() -> int:
    return int(time.time())


def claims(**changes: Any) -> dict[str, Any]:
    made = {"sub": "alice", "iat": now(), "exp": now() + 600, "job": {"a": 1}, **changes}
    return {name: value for name, value in made.items() if value is not ...}


def part(data: object) -> bytes:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def by_hand(payload: object, header: object = None, secret: str = SECRET) -> str:
    """A token that no library would make, with a signature that holds."""
    signed = part(header or {"alg": "HS256", "typ": "JWT"}) + b"." + part(payload)
    signature = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + part(signature)).decode()


def outcome(token: str) -> str:
    """The subject, or the code of the refusal."""
    try:
        return tokens.verify(token).subject
    except Unauthorized as error:
        return error.code


def refused(token: str) -> Unauthorized:
    with pytest.raises(Unauthorized) as caught:
        tokens.verify(token)
    return caught.value
