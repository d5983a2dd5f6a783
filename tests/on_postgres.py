"""A plugin: `pytest -p tests.on_postgres` runs what is marked `sql` once more, on PostgreSQL.

It starts a server for the length of the run; `tests.settings` takes its address. Where PostgreSQL
is not installed, everything is skipped.
"""

import os
from contextlib import ExitStack

import pytest

from tests.peers import postgres

# Read by tests.settings. No PIXERVE_ variable, as those of the caller mean nothing to tests.
ADDRESS = "TESTS_DATABASE_URL"
_open = ExitStack()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before anybody reads the settings. Workers of xdist have the address of who began them."""
    if ADDRESS not in os.environ and postgres.missing() is None:
        os.environ[ADDRESS] = _open.enter_context(postgres.running()).url()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only what is marked."""
    others = [item for item in items if item.get_closest_marker("sql") is None]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in set(others)]
    if reason := postgres.missing():
        for item in items:
            # For machines where nobody may install it; `make test` does where it may.
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_unconfigure(config: pytest.Config) -> None:
    _open.close()
