"""The same folders and callers as everywhere."""

from tests.jobs.conftest import api, configure, one_converter, own_folders

__all__ = ["api", "configure", "one_converter", "own_folders"]
