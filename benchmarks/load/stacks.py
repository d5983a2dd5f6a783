"""Whole servers to load: on SQLite, and on a PostgreSQL that syncs what it commits."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.accounting import on_cores
from tests.peers import postgres
from tests.server import IMAGES, Pixerve, make_token, running

STACKS = ("sqlite", "postgresql")
NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_WARM_JOB = {"formats": {"jpg": {"sizes": [[32]]}}, "directHost": True}


def missing(name: str) -> str | None:
    """Why this machine cannot have it."""
    return postgres.missing() if name == "postgresql" else None


def workers() -> int:
    """One for each core that this process may use."""
    return len(os.sched_getaffinity(0))


def two_cores() -> tuple[int, int]:
    """One for the server and another one for the client; the same where there is but one."""
    mine = sorted(os.sched_getaffinity(0))
    return mine[0], mine[-1]


@contextmanager
def held_to(
    core: int, folder: Path, *, parts: tuple[str, ...] = (), **env: Any
) -> Iterator[Pixerve]:
    """A server with one worker, all of it on this core."""
    with ExitStack() as stack:
        with on_cores({core}):
            env = {"PIXERVE_MAX_WORKERS": "1"} | env
            server = stack.enter_context(running(folder, parts=parts, **env))
        yield server


@contextmanager
def stack(name: str, folder: Path) -> Iterator[Pixerve]:
    """A server with as many workers as cores, which has done its first job."""
    env: dict[str, Any] = {"PIXERVE_MAX_WORKERS": str(workers())}
    if name == "sqlite":
        with running(folder, **env) as server:
            yield warmed(server)
        return
    with postgres.running(durable=True) as database:
        env["PIXERVE_DATABASE_URL"] = database.make("pixerve")
        with running(folder, **env) as server:
            yield warmed(server)


def warmed(server: Pixerve) -> Pixerve:
    """After one job for each worker, whose converters are started by it."""
    small = (IMAGES / "pil_hopper.jpg").read_bytes()
    for worker in range(2 * workers()):
        token = make_token(_WARM_JOB, subject=f"warm-{worker}")
        server.wait_end(server.upload(small, token).json()["hash"], token)
    return server
