"""How much room a job's records take, and how fast they are pruned."""

import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from benchmarks.load.pictures import sized
from benchmarks.load.rows import in_tables
from benchmarks.load.stacks import NAMES, STACKS, missing, stack
from benchmarks.load.watch import Table
from tests.acceptance.endpoint import endpoint
from tests.server import EXAMPLE_JOB, ROOT, Pixerve, make_token, wait_for

JOBS = 100_000
FILES = 4
_WITHIN_S = 3600
_SIZE = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    "postgresql": "SELECT pg_database_size(current_database())",
}


def main(folder: Path, scale: float) -> None:
    jobs = max(1000, int(JOBS * scale))
    for name in STACKS:
        if reason := missing(name):
            print(f"skipped {name}: {reason}")
            continue
        with stack(name, folder / name) as server:
            records(server, name, jobs)


def records(server: Pixerve, name: str, jobs: int) -> None:
    """Many jobs like the example with its callback; half of them are past their time."""
    with endpoint() as receiver:
        token = make_token({**EXAMPLE_JOB, "completionCallback": receiver.url})
        server.wait_end(server.upload(sized(0.3)(0), token).json()["hash"], token)
        sent = "SELECT COUNT(*) FROM jobs_callback WHERE state = 'sent'"
        wait_for(lambda: ask(server, sent), what="the callback")
    before = ask(server, _SIZE[name])
    in_tables(server, f"grow({jobs}, files={FILES})")
    each = (ask(server, _SIZE[name]) - before) / jobs
    print(f"records, {NAMES[name]}: {each / 1e3:.1f} kB a job with {FILES} files and a callback")
    print(f"  a clean-up that finds nothing: {prune(server):.1f} s", flush=True)
    in_tables(server, f"age({jobs // 2}, days=60)")
    print(f"  one that finds the half: {jobs // 2 / prune(server):.0f} jobs/s", flush=True)


def prune(server: Pixerve) -> float:
    """Seconds that it takes, the start of the command included."""
    begun = time.monotonic()
    subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "prune_jobs"],
        check=True,
        env=server.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=_WITHIN_S,
    )
    return time.monotonic() - begun


def ask(server: Pixerve, query: str) -> int:
    with closing(Table(server)) as table:
        return int(table.rows(query)[0][0])
