"""The processes of a cluster and their parents."""

import os
import subprocess
import sys

from tests.server import ROOT

_FORK_AND_DIE = """
import os
import django
django.setup()
from jobs import cluster

parent = os.getpid()

def wait_for_the_death():
    while os.getppid() == parent:
        pass

os.register_at_fork(after_in_child=wait_for_the_death)
cluster._bind_forks()
if os.fork():
    os._exit(0)
print("lives on", flush=True)
"""


def test_a_fork_whose_parent_died_before_it_was_bound_ends() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _FORK_AND_DIE],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout == ""
    assert "ignored" not in ended.stderr
