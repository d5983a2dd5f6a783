"""Leases: who works on a job, whether that process still lives, and what happens when it does not.

A lease's owner is one process: `host@boot.pids/pid/start`, where boot is the beginning of the boot
id, pids the namespace that the pid belongs to (each container has its own, and two may have one
host name), and start the process's start time in clock ticks since boot (proc(5), stat field 22),
so that a reused pid is another owner.
"""

import os
import socket
import time
from collections.abc import Hashable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

from django.db.models import F
from django.utils import timezone

from jobs import transitions
from jobs.models import Job
from jobs.states import State

LEASE_S = 30.0
BEAT_S = 5.0
MAX_LOST = 3
K = TypeVar("K", bound=Hashable)
_START_FIELD = 19  # stat field 22, counted behind the command's closing bracket


class LeaseLost(Exception):
    """The job was given to somebody else, or ended; its former holder must write nothing more."""


@cache
def _host() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    pids = Path("/proc/self/ns/pid").stat().st_ino
    return f"{socket.gethostname()}@{boot[:8]}.{pids}"


_UNBURIED = {"Z", "X"}


def _stat(pid: int) -> list[str]:
    """What proc(5) says of a process behind its command, from the state on; nothing of one that
    is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _start_time(pid: int) -> str | None:
    """The process's start time, or None where it is gone or only waits to be buried."""
    fields = _stat(pid)
    return fields[_START_FIELD] if fields and fields[0] not in _UNBURIED else None


def stands_still(pid: int) -> bool:
    """Whether a process was halted from outside (SIGSTOP, a debugger) and not let go on, or is dead
    and waits to be buried."""
    fields = _stat(pid)
    return bool(fields) and fields[0] in {"T", "t"} | _UNBURIED


def children(pid: int) -> list[int]:
    """The processes that a process's main thread started and has not buried."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:  # it is gone, or the kernel was built without this file
        return []
    return [int(child) for child in found.split()]


def owner_of(pid: int) -> str:
    """The owner name of a process on this host."""
    return f"{_host()}/{pid}/{_start_time(pid)}"


@cache
def myself() -> str:
    """The owner name of this process."""
    return owner_of(os.getpid())


os.register_at_fork(after_in_child=myself.cache_clear)


def here() -> str:
    """How the names of this host's owners begin."""
    return f"{_host()}/"


def is_here(owner: str) -> bool:
    """Whether `owner` was started on this host, where we can see it, since it booted."""
    return owner.startswith(here())


def pid_of(owner: str) -> int:
    """The process id in an owner's name."""
    return int(owner.split("/")[1])


def is_dead(owner: str) -> bool:
    """True only for a process of this host, since it booted, that is surely gone.

    Another boot of our name may be that of another machine: two clones have one host name.
    """
    host, _, rest = owner.partition("/")
    pid, _, start = rest.partition("/")
    return host == _host() and (not pid.isdigit() or _start_time(int(pid)) != start)


def is_of_another_boot(owner: str) -> bool:
    """Whether `owner` was started before this machine booted, or on another one of its name."""
    name, _, life = owner.partition("/")[0].partition("@")
    ours, _, boot = _host().partition("@")
    return name == ours and life.partition(".")[0] != boot.partition(".")[0]


def lives_here(owner: str) -> bool:
    """Whether `owner` is a process of this host that runs."""
    return is_here(owner) and not is_dead(owner)


def renew(job: Job, **changes: object) -> None:
    """Say that the holder lives, and write `changes`. Raises LeaseLost."""
    now = timezone.now()
    if not transitions.held(job).update(beat=F("beat") + 1, updated_at=now, **changes):
        raise LeaseLost(str(job.uid))


def excuse(owners: Iterable[str] | None = None) -> int:
    """Note that these leases (all of this host's where None) are cut by us, not lost by a job."""
    held = Job.objects.filter(state=State.PROCESSING, owner__startswith=f"{_host()}/")
    return (held if owners is None else held.filter(owner__in=list(owners))).update(excused=True)


class Silence:
    """Finds whose owner is gone: dead on this host, or without a new sign of life for so long.

    Silence is measured on this process's own monotonic clock, so that no clock that jumps, here or
    elsewhere, can take anything from anybody.
    """

    def __init__(self, silent_s: float) -> None:
        self._silent_s = silent_s
        self._seen: dict[Hashable, tuple[Hashable, float]] = {}

    def gone(self, there: Mapping[K, tuple[str, Hashable]]) -> list[K]:
        """Those of `there`, each with its owner and its latest sign of life, whose owner is gone by
        what was seen until now."""
        now = time.monotonic()
        self._seen = {key: self._look(key, sign, now) for key, (_, sign) in there.items()}
        return [
            key
            for key, (owner, _) in there.items()
            if is_dead(owner) or now - self._seen[key][1] >= self._silent_s
        ]

    def _look(self, key: Hashable, sign: Hashable, now: float) -> tuple[Hashable, float]:
        before = self._seen.get(key)
        return before if before is not None and before[0] == sign else (sign, now)


class Reaper:
    """Takes jobs from holders that are gone."""

    def __init__(self, lease_s: float = LEASE_S) -> None:
        self._silence = Silence(lease_s)

    def gone(self) -> list[Job]:
        """The jobs whose holder is gone, by what was seen until now."""
        leased = list(Job.objects.filter(state=State.PROCESSING).exclude(owner=""))
        gone = self._silence.gone({job.pk: (job.owner, (job.fence, job.beat)) for job in leased})
        return [job for job in leased if job.pk in gone]


def is_one_too_many(job: Job) -> bool:
    """Whether this lost lease is held against the job, and is the last that it may lose."""
    return not job.excused and job.lost_leases + 1 >= MAX_LOST


def give_back(job: Job) -> bool:
    """Put a job whose holder is gone back into the queue; one that we cut has lost nothing."""
    if job.excused:
        return transitions.put_back(job, attempts=F("attempts") - 1)
    return transitions.put_back(job, lost_leases=F("lost_leases") + 1)
