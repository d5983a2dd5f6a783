"""The API through Django's test client, with everything behind it real."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from tests.api.caller import Api
from tests.jobs.conftest import configure, one_converter, own_folders

__all__ = ["configure", "one_converter", "own_folders"]

PASSWORD = "correct horse 42"


@pytest.fixture
def api(transactional_db: None) -> Api:
    """A client without a token."""
    return Api()


@pytest.fixture
def staff_user(transactional_db: None) -> User:
    return User.objects.create_user("boss", "boss@example.com", PASSWORD, is_staff=True)


@pytest.fixture
def plain_user(transactional_db: None) -> User:
    return User.objects.create_user("paula", "paula@example.com", PASSWORD)


@pytest.fixture
def staff(api: Api, staff_user: User) -> str:
    """The access token of a staff user."""
    return api.sign_in("boss", PASSWORD)


@pytest.fixture
def plain(api: Api, plain_user: User) -> str:
    """The access token of a user who is not staff."""
    return api.sign_in("paula", PASSWORD)


@pytest.fixture
def roots(tmp_path: Path, configure: Callable[..., None]) -> Path:
    folder = tmp_path / "roots"
    folder.mkdir()
    configure(local_roots=(folder,))
    return folder
