"""Every test has folders of its own, and no attempts counted against it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from pytest_django import Settings

from jobs import pipeline
from tests.api.caller import Api


@pytest.fixture(autouse=True)
def own_folders(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    settings.PIXERVE = settings.PIXERVE.model_copy(
        update={"data_dir": tmp_path / "data", "serve_dir": tmp_path / "serve"}
    )
    cache.clear()


@pytest.fixture
def configure(settings: Settings) -> Callable[..., None]:
    """Change settings of the product for one test."""

    def change(**values: Any) -> None:
        settings.PIXERVE = settings.PIXERVE.model_copy(update=values)

    return change


@pytest.fixture(scope="session", autouse=True)
def one_converter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The converter child of in-process jobs serves all tests, and ends with them."""
    pipeline.converter.roots = lambda: (tmp_path_factory.getbasetemp(),)
    yield
    pipeline.converter.close()


@pytest.fixture
def api(transactional_db: None) -> Api:
    """A client without a token."""
    return Api()
