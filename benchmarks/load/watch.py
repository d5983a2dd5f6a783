"""Looking on while jobs run: how many have ended, and what memory the server takes meanwhile."""

import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from benchmarks.accounting import Cost, memory_by_role
from tests.server import Pixerve

LOOK_S = 0.05
MEMORY_EVERY_S = 3.0
SAY_EVERY_S = 20.0
STUCK_S = 120.0
_MANY = 5000

# Each end has one event, and their ids are seen in order: so looking costs the database, whose CPU
# is counted, no more when there are many.
_ENDED = "SELECT COUNT(*), COALESCE(MAX(id), 0) FROM jobs_event WHERE id > ?"


class Table:
    """One kept connection to the server's database, which only reads."""

    def __init__(self, server: Pixerve) -> None:
        url = server.env.get("PIXERVE_DATABASE_URL")
        if url:
            self._ask: Any = psycopg.connect(url, autocommit=True)
            self._mark = "%s"
        else:
            uri = f"file:{server.data / 'pixerve.sqlite3'}?mode=ro"
            self._ask = sqlite3.connect(uri, uri=True, timeout=20, check_same_thread=False)
            self._mark = "?"

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._ask.execute(
            query.replace("?", self._mark), values
        ).fetchall()
        return found

    def close(self) -> None:
        self._ask.close()


class Gate:
    """Lets so many jobs be under way at once; without a number, all."""

    def __init__(self, in_flight: int | None) -> None:
        self._room = threading.Semaphore(in_flight) if in_flight else None

    def enter(self) -> None:
        if self._room:
            self._room.acquire()

    def leave(self, jobs: int) -> None:
        if self._room and jobs > 0:
            self._room.release(jobs)


@dataclass
class Watch:
    """Follows the jobs that a server takes from here on. `of` are expected; `on_end` is told how
    many more have ended."""

    server: Pixerve
    of: int
    on_end: Callable[[int], object] = lambda jobs: None
    count: int = 0
    """Jobs that have ended."""
    memory: list[tuple[int, Cost]] = field(default_factory=list)
    """How many had ended, and MiB by part."""
    first: int = 0
    """The last job before these."""
    _done: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._table = Table(self.server)
        self.first = self._table.rows("SELECT COALESCE(MAX(id), 0) FROM jobs_job")[0][0]
        self._told = self._table.rows(_ENDED, 0)[0][1]
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._thread.start()

    def _look_on(self) -> None:
        begun = time.monotonic()
        memory_due, say_due = begun, begun + SAY_EVERY_S
        while not self._done.wait(LOOK_S if self.of < _MANY else 10 * LOOK_S):
            ended = self._ended_meanwhile()
            self.on_end(ended)
            self.count += ended
            now = time.monotonic()
            if now >= memory_due:
                memory_due = now + MEMORY_EVERY_S
                self.memory.append((self.count, memory_by_role(self.server)))
            if now >= say_due:
                say_due = now + SAY_EVERY_S
                say(f"    {now - begun:5.0f} s: {self.count} of {self.of} jobs done")

    def wait(self, jobs: int) -> None:
        """Until so many have ended. Raises AssertionError where none ends any more."""
        seen, since = -1, time.monotonic()
        while self.count < jobs:
            if self.count != seen:
                seen, since = self.count, time.monotonic()
            assert self._thread.is_alive(), "the watch ended"
            assert time.monotonic() < since + STUCK_S, f"stuck at {seen} of {jobs} jobs"
            time.sleep(LOOK_S)

    def _ended_meanwhile(self) -> int:
        """How many have ended since this was asked before."""
        ended, last = self._table.rows(_ENDED, self._told)[0]
        self._told = max(self._told, last)
        return int(ended)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The answer of the server's database to a question about the jobs behind `first`."""
        return self._table.rows(query, self.first)

    def close(self) -> None:
        self._done.set()
        self._thread.join()
        self._table.close()


def say(text: str) -> None:
    """Progress goes beside the tables."""
    print(text, file=sys.stderr, flush=True)
