from collections.abc import Iterator
from pathlib import Path

import pytest

from encoders.converter import Converter
from tests.encoders.pictures import IMAGES
from tests.encoders.studio import Studio


@pytest.fixture(scope="module")
def shared(measured: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Converter]:
    """One converter for a whole module, as a worker has one for many jobs."""
    converter = Converter(roots=lambda: (tmp_path_factory.getbasetemp(), IMAGES))
    yield converter
    converter.close()


@pytest.fixture
def converter() -> Iterator[Converter]:
    """A converter of the test's own, to be crashed at will."""
    converter = Converter()
    yield converter
    converter.close()


@pytest.fixture
def studio(shared: Converter, tmp_path: Path) -> Studio:
    """Makes looks with the module's converter."""
    return Studio(shared, tmp_path)
