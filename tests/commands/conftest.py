"""Folders of their own for commands that look at staging and hosted files."""

from pathlib import Path

import pytest
from pytest_django import Settings


@pytest.fixture
def own_folders(tmp_path: Path, settings: Settings) -> Path:
    """Settings whose data and hosted files lie below `tmp_path`."""
    folders = {"data_dir": tmp_path / "data", "serve_dir": tmp_path / "serve"}
    for folder in folders.values():
        folder.mkdir()
    settings.PIXERVE = settings.PIXERVE.model_copy(update=folders)
    return tmp_path
