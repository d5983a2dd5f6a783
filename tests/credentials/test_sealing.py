"""Secrets at rest: unreadable without the key, and bound to their purpose."""

import json
from dataclasses import replace

import pytest
from cryptography.fernet import Fernet
from pytest_django import Settings

from credentials.sealing import Unreadable, seal, unseal

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


@pytest.fixture(autouse=True)
def one_key(settings: Settings) -> None:
    use(settings, OLD)


def use(settings: Settings, *keys: str) -> None:
    settings.KEYS = replace(settings.KEYS, credential_keys=keys)


@pytest.mark.parametrize("value", ["text", "", {"X-Key": "ünïcode"}, [1, None, True], None, 5])
def test_what_is_sealed_is_what_comes_out(value: object) -> None:
    assert unseal(seal(value, purpose="p"), purpose="p") == value


def test_sealed_text_shows_nothing() -> None:
    sealed = seal({"X-Key": "hush-secret"}, purpose="headers of 1")
    assert "hush" not in sealed
    assert "headers" not in sealed
    assert sealed != seal({"X-Key": "hush-secret"}, purpose="headers of 1")


def test_another_purpose() -> None:
    sealed = seal("x", purpose="headers of 1")
    for purpose in ("headers of 2", "", "headers of 11"):
        with pytest.raises(Unreadable):
            unseal(sealed, purpose=purpose)


def test_rotation(settings: Settings) -> None:
    sealed = seal("x", purpose="p")
    use(settings, NEW, OLD)
    assert unseal(sealed, purpose="p") == "x"
    resealed = seal("x", purpose="p")
    use(settings, NEW)
    assert unseal(resealed, purpose="p") == "x"
    with pytest.raises(Unreadable):
        unseal(sealed, purpose="p")


@pytest.mark.parametrize("position", [0, 10, 60, -1])
def test_tampering(position: int) -> None:
    sealed = bytearray(seal("x", purpose="p").encode())
    sealed[position] ^= 1
    with pytest.raises(Unreadable):
        unseal(sealed.decode(), purpose="p")


@pytest.mark.parametrize("text", ["", "x", "gAAAAA", "é", "\0"])
def test_what_was_never_sealed(text: str) -> None:
    with pytest.raises(Unreadable):
        unseal(text, purpose="p")


@pytest.mark.parametrize("plain", [b"no json", b"5", b"[]", b'["p"]', b'["p", 1, 2]', b'"p"'])
def test_what_something_else_encrypted(plain: bytes) -> None:
    with pytest.raises(Unreadable):
        unseal(Fernet(OLD).encrypt(plain).decode(), purpose="p")


def test_the_error_shows_nothing() -> None:
    sealed = Fernet(OLD).encrypt(json.dumps(["other", "hush-secret"]).encode()).decode()
    with pytest.raises(Unreadable) as caught:
        unseal(sealed, purpose="p")
    assert "hush" not in repr(caught.value)
