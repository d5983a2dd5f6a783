"""One program that is kept alive: how it is started, and when it is started again.

Standard library only, like all of the supervisor.
"""

import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

FIRST_DELAY_S, LONGEST_DELAY_S = 0.2, 2.0  # web is to answer again within 5 s of its death
# A part that lived this long is no crash loop; more would let who is killed now and then stay away
# longer each time.
HEALTHY_AFTER_S = 5.0

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
_libc = ctypes.CDLL(None, use_errno=True)


REPLACES = "REPLACES_PID"


@dataclass(frozen=True)
class Part:
    """One program to keep alive; `env` is laid over the supervisor's own environment, and `fds`
    are inherited.

    One that `relieves` is renewed without a gap: the new process finds the old one's id in the
    variable `REPLACES`, and sends it SIGTERM when it can do its work.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] | None = None
    fds: tuple[int, ...] = ()
    relieves: bool = False


def prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def spawn(part: Part, replaces: int | None = None) -> subprocess.Popen[bytes]:
    """Start the part, in the place of the process `replaces` if there is one; it is killed when the
    calling thread ends, so call this from the main one."""
    supervisor = os.getpid()

    def die_with_supervisor() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:  # it died before the line above took effect
            os._exit(1)

    return subprocess.Popen(
        part.argv,
        env={**os.environ, **(part.env or {}), **({REPLACES: str(replaces)} if replaces else {})},
        pass_fds=part.fds,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_supervisor,  # noqa: PLW1509 (there are no other threads to race with)
    )


@dataclass
class Life:
    """A part and what it is doing: waiting for `due`, running, or ended and being swept up.

    One that was asked to end is killed at `kill_at`; one that is `retiring` is not started again.
    """

    part: Part
    leader: subprocess.Popen[bytes] | None = None
    ended: bool = False
    started: float = 0.0
    due: float = 0.0
    delay_s: float = FIRST_DELAY_S
    restart_asked: bool = False
    kill_at: float | None = None
    retiring: bool = False

    def next_delay(self, now: float) -> float:
        """Seconds to wait before the next start; doubles while the part keeps dying young."""
        if self.restart_asked or now - self.started >= HEALTHY_AFTER_S:
            self.delay_s = FIRST_DELAY_S
        delay = 0.0 if self.restart_asked else self.delay_s
        self.delay_s = min(self.delay_s * 2, LONGEST_DELAY_S)
        self.restart_asked = False
        return delay
