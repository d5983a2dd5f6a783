"""A hosted root of the test's own, and a file to put there."""

from pathlib import Path

import pytest

from delivery.hosting import HostedRoot
from tests.delivery.hosted import write


@pytest.fixture
def hosted(tmp_path: Path) -> HostedRoot:
    return HostedRoot(tmp_path / "serve")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "source.jpg", b"first")
