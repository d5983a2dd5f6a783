"""What the queue costs: accepting, claiming and finishing a job, in tables of 10² to 10⁶ jobs.

    python -m benchmarks.queue [--rows 100 10000 1000000] [--rounds 400] [--database postgresql]
    python -m benchmarks.queue --claimers 1 2 4 [--jobs 4000] [--database postgresql]

Each step is measured in microseconds of this process's CPU and of wall clock, on a database of its
own in a temporary folder. The jobs in the table have ended, but for a short backlog of some
subjects. At the end: a claim with a limit for each subject, beside 10 000 waiting jobs of one and a
job each of 500. With `--claimers`, instead: jobs per second that so many processes at once claim
and finish.
"""

import argparse
import importlib
import os
import tempfile
from contextlib import ExitStack

import django

from tests.peers import postgres

parser = argparse.ArgumentParser(prog="python -m benchmarks.queue")
parser.add_argument("--rows", type=int, nargs="+", default=(100, 1_000, 10_000, 100_000, 1_000_000))
parser.add_argument("--rounds", type=int, default=400)
parser.add_argument("--claimers", type=int, nargs="+", default=())
parser.add_argument("--jobs", type=int, default=4000)
parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
options = parser.parse_args()
with ExitStack() as stack:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pixerve-bench-"))
    os.environ |= {
        "PIXERVE_DATA_DIR": f"{folder}/data",
        "PIXERVE_SERVE_DIR": f"{folder}/serve",
        "PIXERVE_ENV_FILE": os.devnull,
        "DJANGO_SETTINGS_MODULE": "pixerve_site.settings",
    }
    if options.database == "postgresql":
        database = stack.enter_context(postgres.running(durable=True))
        os.environ["PIXERVE_DATABASE_URL"] = database.make("pixerve")
    django.setup()
    importlib.import_module("benchmarks.queue.measure").main(options)
