"""Credentials for tests, made the way the API makes them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pytest_django import Settings

from credentials import service
from credentials.models import Credential

S3 = {"bucket": "pictures", "access_key": "AKIA1", "secret_key": "hush-secret"}
Configure = Callable[..., None]


@pytest.fixture
def configure(settings: Settings) -> Configure:
    """Change settings of the product for one test."""

    def change(**values: Any) -> None:
        settings.PIXERVE = settings.PIXERVE.model_copy(update=values)

    return change


@pytest.fixture
def keys(settings: Settings) -> Callable[..., None]:
    """Set PIXERVE_CREDENTIAL_KEYS for one test, newest first."""

    def use(*wanted: str) -> None:
        settings.KEYS = replace(settings.KEYS, credential_keys=wanted)

    return use


@pytest.fixture
def roots(tmp_path: Path, configure: Configure) -> Path:
    """The one folder of PIXERVE_LOCAL_ROOTS."""
    folder = tmp_path / "roots"
    folder.mkdir()
    configure(local_roots=(folder,))
    return folder


def new_key() -> str:
    return Fernet.generate_key().decode()


def make(
    key: str = "my-s3", kind: str = "s3", data: dict[str, Any] | None = None, owner: str = ""
) -> Credential:
    return service.create(
        key=key, kind=kind, data=S3 if data is None else data, owner=owner, who="boss"
    )
