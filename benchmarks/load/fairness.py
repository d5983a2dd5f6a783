"""How long one tenant's burst delays others: single uploads of strangers while it is worked off."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.load.client import Connection, Log
from benchmarks.load.pictures import Source
from benchmarks.load.watch import Watch
from tests.server import Pixerve, make_token

JOB = {"formats": {"jpg": {"sizes": [[64]]}}, "directHost": True}
VISITS = 20
_LOOK_S = 0.02


@dataclass(frozen=True)
class Ended:
    """One job as its row has it at the end; Unix times."""

    subject: str
    state: str
    created: float
    claimed: float
    finished: float


@dataclass(frozen=True)
class Visit:
    """A stranger's single upload: how many of the tenant's jobs waited when it was acknowledged,
    and how many of those were claimed before it."""

    waiting: int
    overtaken_by: int


@dataclass
class Visitors:
    """Strangers, each with one upload, evenly spread over the burst."""

    log: Log = field(default_factory=Log)

    def visits(self, jobs: Mapping[str, Ended], tenant: str) -> list[Visit]:
        """What each of them met."""
        theirs = [each for each in jobs.values() if each.subject == tenant]
        found = []
        for sent in self.log.sent:
            at, mine = sent.answered, jobs[sent.uid].claimed
            waiting = [each for each in theirs if each.created < at < each.claimed]
            found.append(Visit(len(waiting), sum(each.claimed < mine for each in waiting)))
        return found


@contextmanager
def visiting(server: Pixerve, watch: Watch, picture: Source, numbers: range) -> Iterator[Visitors]:
    """Each of these numbers is uploaded by a subject of its own when its share of the burst is
    done; those that are not due at the end of the `with` do not come."""
    found, over = Visitors(), threading.Event()

    def call() -> None:
        for at, number in enumerate(numbers):
            due = watch.of * at / len(numbers)
            while watch.count < due:
                if over.wait(_LOOK_S):
                    return
            token = make_token(JOB, subject=f"visitor-{number}")
            connection = Connection(server, token, found.log)
            connection.upload(picture(number))
            connection.close()

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
