"""Which processes that the tests start count for their coverage.

None, unless asked: measuring doubles the time that a process takes to start, most of them run the
same lines, and what a killed one measured is lost.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_NAME = "COVERAGE_PROCESS_CONFIG"
_taken: dict[str, str] = {}


def leave_out() -> None:
    """From now on no new process counts. Not for the process that starts xdist's workers."""
    if _NAME in os.environ:
        _taken[_NAME] = os.environ.pop(_NAME)


def variables() -> dict[str, str]:
    """For the environment of a process that counts; none while nothing is measured."""
    return dict(_taken)


@contextmanager
def counting() -> Iterator[None]:
    """New processes count for the length of a `with`."""
    os.environ.update(_taken)
    try:
        yield
    finally:
        for name in _taken:
            del os.environ[name]
