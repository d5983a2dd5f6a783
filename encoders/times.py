"""Where the time of a job goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

_Item = TypeVar("_Item")


class Times:
    """Milliseconds of wall clock by what they were spent on."""

    def __init__(self, *names: str) -> None:
        self.spent = dict.fromkeys(names, 0.0)

    def add(self, name: str, seconds: float) -> None:
        """Count ``seconds`` as spent on ``name``."""
        self.spent[name] += ms(seconds)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Count what happens inside."""
        started = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - started)

    def each(self, name: str, items: Iterator[_Item]) -> Iterator[_Item]:
        """``items``; the time that each of them takes to come is counted."""
        while True:
            with self.of(name):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item


def ms(seconds: float) -> float:
    """Milliseconds, rounded to the microsecond."""
    return round(seconds * 1000, 3)
