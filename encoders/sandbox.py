"""What the child takes from itself before it touches a picture. Linux only.

Limits (``confine``) hold on every kernel. What may be called and opened (``isolate``) is the work
of seccomp and Landlock, each where the kernel has it.
"""

import ctypes
import os
import resource
import signal
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from encoders import landlock, seccomp

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_OPEN_FILES = 128
_PACKAGE = Path(__file__).parent
_SYSTEM = (
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/fonts",
    "/etc/ImageMagick-6",
    "/etc/ImageMagick-7",
    "/etc/localtime",
    "/var/cache/fontconfig",
    "/sys/devices/system/cpu",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/sys/vm/overcommit_memory",
    "/dev/urandom",
)
"""Libraries, fonts, and what these look up about the machine."""
_SINKS = ("/dev/null",)


@dataclass(frozen=True)
class Powers:
    """What the kernel offers to hold a child back: ``landlock`` is its version, 0 for none."""

    seccomp: bool
    landlock: int

    def __str__(self) -> str:
        files = f"Landlock {self.landlock}" if self.landlock else "no Landlock"
        return f"{'seccomp' if self.seccomp else 'no seccomp'}, {files}"


def powers() -> Powers:
    """What children of this process are held back by, beside their limits."""
    return Powers(seccomp.is_known(), landlock.version())


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


def isolate(read: Iterable[Path], write: Iterable[Path]) -> None:
    """Leave this process, for good, only its own libraries, ``read``, and ``write``.

    No program, no network, no other process. All that is needed from elsewhere must be loaded
    before. Where the kernel lacks one of the two means, the other one holds.
    """
    # A closed folder of /proc may be forgotten by the kernel, and the rule on it with it.
    os.open("/proc/self", os.O_PATH | os.O_CLOEXEC)
    landlock.allow_only([*_own_files(), *read], [*map(Path, _SINKS), *write])
    seccomp.deny_calls()


def _own_files() -> set[Path]:
    """Python, its packages, and the folders of all libraries that are loaded.

    The folder that holds this package is left out: keys and uploads may lie there as well.
    """
    python = {Path(sys.prefix), Path(sys.base_prefix), Path(sysconfig.get_path("stdlib"))}
    modules = {Path(entry) for entry in sys.path if entry}
    return (python | modules | _library_folders() | set(map(Path, _SYSTEM)) | {_PACKAGE}) - {
        _PACKAGE.parent
    }


def _library_folders() -> set[Path]:
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape")
    mapped = {line.split(maxsplit=5)[5] for line in maps.splitlines() if "/" in line}
    return {Path(name).parent for name in mapped if ".so" in name}
