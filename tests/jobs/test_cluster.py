"""The processes of a cluster and their parents."""

import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings

from jobs import cluster
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


def test_what_killed_clusters_left_goes_even_of_one_with_our_pid() -> None:
    work = Path(settings.PIXERVE.data_dir) / "run" / "work"
    alive = str(os.getppid())
    for name in (str(os.getpid()), "999999999", alive):
        (work / name / "pixerve-child-x").mkdir(parents=True)
    own = cluster._own_work_folder()
    assert (own.name, [*own.iterdir()]) == (str(os.getpid()), [])
    assert {each.name for each in work.iterdir()} == {own.name, alive}
