"""How many jobs the table hands out and takes back, by how many workers ask at once."""

import os
import subprocess
import sys
from pathlib import Path

from tests.peers import postgres
from tests.server import ROOT

_WITHIN_S = 900


def main(_folder: Path, scale: float) -> None:
    jobs = max(100, int(4000 * scale))
    for database in ("sqlite", *([] if postgres.missing() else ["postgresql"])):
        command = ["-m", "benchmarks.queue", "--database", database, "--claimers", "1", "2", "4"]
        # In a process of its own, because Django has one database for all its life.
        subprocess.run(
            [sys.executable, *command, "--jobs", str(jobs)],
            check=True,
            cwd=ROOT,
            env=dict(os.environ),
            stdin=subprocess.DEVNULL,
            timeout=_WITHIN_S,
        )
