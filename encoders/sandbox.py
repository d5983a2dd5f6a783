"""What the child takes from itself before it touches a picture. Linux only."""

import ctypes
import os
import resource
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_OPEN_FILES = 128


def die_with(parent: int) -> None:
    """Have the kernel kill this process when process ``parent`` ends; leave if it has already.

    The signal is tied to the *thread* that started this process, which must outlive it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        raise SystemExit("the parent is gone")
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def confine(memory_bytes: int, file_bytes: int) -> None:
    """Bound address space, file size and open files for good; no core dumps; quiet on Ctrl-C."""
    for what, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (allowed, allowed))
    # Ctrl-C reaches the whole group, but it is the parent who decides when the child ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def allow_cpu(seconds: float) -> None:
    """Allow this process ``seconds`` more of CPU time: the kernel counts over its whole life."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(usage.ru_utime + usage.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))
