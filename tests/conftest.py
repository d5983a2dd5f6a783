"""Fixtures that more than one folder of tests uses."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import IMAGES, Pixerve, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pixerve]:
    """One running Pixerve for all tests that do not harm it."""
    stores = str(tmp_path_factory.mktemp("stores"))
    with running(tmp_path_factory.mktemp("pixerve"), PIXERVE_LOCAL_ROOTS=stores) as found:
        yield found


@pytest.fixture
def image() -> Path:
    """The folder of real pictures."""
    return IMAGES
