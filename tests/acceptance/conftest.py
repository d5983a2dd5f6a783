"""Servers that several files of acceptance tests share."""

from collections.abc import Iterator

import pytest

from tests.server import Pixerve, running


@pytest.fixture(scope="package")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pixerve]:
    """A server with one worker: it can be held, and what it does comes in one order."""
    with running(tmp_path_factory.mktemp("single"), PIXERVE_MAX_WORKERS="1") as server:
        yield server
