"""Processes as /proc shows them, and an heir who ends them when the supervisor cannot.

Runs as a program of its own too (`python -I processes.py`), so standard library only.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

KILL_S = 1.5  # how long to wait for killed processes to be gone
SWEEP_S = 0.02


class Process(NamedTuple):
    """One process as /proc/<pid>/stat shows it; `sid` is its session."""

    pid: int
    state: str
    ppid: int
    sid: int

    @property
    def ended(self) -> bool:
        return self.state in "ZX"


def processes() -> Iterator[Process]:
    """Every process that can be seen now."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (process := process_of(int(entry.name))):
            yield process


def process_of(pid: int) -> Process | None:
    """The process with this id, if there is one."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, ppid, _group, sid = stat.rpartition(")")[2].split()[:4]
    return Process(pid, state, int(ppid), int(sid))


def kill(pid: int, number: signal.Signals) -> bool:
    """Send a signal; False when the process is gone, or has become another user's."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


class Heir:
    """A helper that outlives a SIGKILL of the supervisor and then kills the parts' sessions.

    PR_SET_PDEATHSIG reaches the parts themselves only, not their children.
    """

    def __init__(self) -> None:
        self._start(())

    def _start(self, sids: Iterable[int]) -> None:
        """With the sessions as arguments, so that no heir ever lives without knowing them."""
        reader, self._writer = os.pipe()
        # -I: the heir must not import our neighbours instead of the standard library.
        argv = [sys.executable, "-I", __file__, *map(str, sids)]
        self._process = subprocess.Popen(argv, stdin=reader, start_new_session=True)
        os.close(reader)

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, sids: Iterable[int]) -> None:
        """Name the sessions to kill; replaces what was told before. Replaces a dead heir too."""
        sids = list(sids)
        if self._process.poll() is not None:
            os.close(self._writer)
            self._start(sids)
        with suppress(BrokenPipeError):  # just died: its SIGCHLD brings us here again
            os.write(self._writer, f"{' '.join(map(str, sids))}\n".encode())

    def dismiss(self) -> None:
        os.close(self._writer)
        try:
            self._process.wait(KILL_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _inherit() -> None:
    """The heir's life: remember the last line of standard input; at its end, kill who is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sids = {int(sid) for sid in sys.argv[1:]}
    for line in sys.stdin:
        sids = {int(sid) for sid in line.split()}
    while left := [p.pid for p in processes() if p.sid in sids and not p.ended]:
        for pid in left:
            kill(pid, signal.SIGKILL)
        time.sleep(SWEEP_S)


if __name__ == "__main__":
    _inherit()
