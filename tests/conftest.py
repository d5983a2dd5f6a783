"""Fixtures that more than one folder of tests uses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import TransactionTestCase

from tests import measuring
from tests.faults.table import pytest_terminal_summary
from tests.flush import empty_tables
from tests.server import IMAGES, Pixerve, running
from tests.together import TogetherScheduling

__all__ = ["pytest_terminal_summary"]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> TogetherScheduling:
    return TogetherScheduling(config, log)


@pytest.fixture(scope="session", autouse=True)
def unmeasured() -> None:
    """Processes of the tests do not count for their coverage, but where `measured` is asked for."""
    measuring.leave_out()


@pytest.fixture(scope="module")
def measured() -> Iterator[None]:
    """The processes that tests of this module start count for their coverage."""
    with measuring.counting():
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> None:
    """What a test committed goes with its rows alone."""
    TransactionTestCase._fixture_teardown = empty_tables


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
