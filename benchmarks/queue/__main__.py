"""What the queue costs: accepting, claiming and finishing a job, in tables of 10² to 10⁶ jobs.

    python -m benchmarks.queue [--rows 100 10000 1000000] [--rounds 400]

Each step is measured in microseconds of this process's CPU and of wall clock, on a database of its
own in a temporary folder. The jobs in the table have ended, but for a short backlog of some
subjects. At the end: a claim with a limit for each subject, beside 10 000 waiting jobs of one and a
job each of 500.
"""

import importlib
import os
import tempfile

import django

with tempfile.TemporaryDirectory(prefix="pixerve-bench-") as folder:
    os.environ |= {
        "PIXERVE_DATA_DIR": f"{folder}/data",
        "PIXERVE_SERVE_DIR": f"{folder}/serve",
        "PIXERVE_ENV_FILE": os.devnull,
        "DJANGO_SETTINGS_MODULE": "pixerve_site.settings",
    }
    django.setup()
    importlib.import_module("benchmarks.queue.measure").main()
