"""What a running server costs, by its parts, from outside: CPU time and memory of its processes.

The client and the measuring are other processes and not in it; a database, Redis or bucket that was
started for the measurement is counted apart, under its own name.
"""

import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import psutil

from tests.server import Pixerve

Cost = dict[str, float]

ENGINE = "child"
PEERS = {
    "postgres": "PostgreSQL",
    "redis-server": "Redis",
    "ceph-mon": "Ceph",
    "ceph-osd": "Ceph",
    "radosgw": "Ceph",
}
_MARKS = (
    ("encoders.child", ENGINE),
    ("gunicorn", "web"),
    (" cluster", "cluster"),
    (" clerk", "clerk"),
)


def role(process: psutil.Process) -> str:
    """Which part of a server the process belongs to."""
    line = " ".join(process.cmdline())
    return next((name for mark, name in _MARKS if mark in line), "supervisor")


def cpu_by_role(server: Pixerve) -> Cost:
    """CPU seconds so far, user and system, by part, of living processes and of dead ones."""
    used: Cost = defaultdict(float)
    for process in server.processes().values():
        try:
            name, times = role(process), process.cpu_times()
            above = [role(each) for each in process.parents()[:2]] if name == "cluster" else []
        except psutil.NoSuchProcess:
            continue
        used[name] += times.user + times.system
        # The dead are in the account of their parent: those of a worker, which stands below the
        # cluster's first process and its sentinel, were converters.
        dead = ENGINE if above == ["cluster", "cluster"] else name
        used[dead] += times.children_user + times.children_system
    return used


def cpu_of_peers() -> Cost:
    """The same of the PostgreSQL, Redis and Ceph that this process started."""
    used: Cost = defaultdict(float)
    for process in psutil.Process().children(recursive=True):
        try:
            name, times = PEERS.get(process.name()), process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        if name:
            used[name] += times.user + times.system + times.children_user + times.children_system
    return used


def cpu(*servers: Pixerve) -> Cost:
    """CPU seconds so far of these servers together, and of what they lean on."""
    used = cpu_of_peers()
    for server in servers:
        for name, spent in cpu_by_role(server).items():
            used[name] += spent
    return used


def between(before: Mapping[str, float], after: Mapping[str, float], parts: float = 1) -> Cost:
    """What was spent from one account to the next, by `parts`: jobs, or seconds."""
    return {name: (after[name] - before.get(name, 0.0)) / parts for name in sorted(after)}


def ours(cost: Mapping[str, float]) -> float:
    """All of it that is Pixerve's own."""
    return sum(spent for name, spent in cost.items() if name not in PEERS.values())


def memory_by_role(server: Pixerve) -> Cost:
    """Proportional set size in MiB: shared pages are counted once."""
    used: Cost = defaultdict(float)
    for process in server.processes().values():
        try:
            used[role(process)] += process.memory_full_info().pss / 2**20
        except psutil.NoSuchProcess:
            continue
    return used


@contextmanager
def on_cores(cores: Collection[int]) -> Iterator[None]:
    """Processes that this thread starts within run on these cores, for all their lives."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
