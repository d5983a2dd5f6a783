"""Keep the parts of one machine running: start them, restart what dies, leave nothing behind.

Each part runs in a session of its own, which is how its descendants are found when it dies. The
supervisor is a "subreaper" (prctl(2)): a descendant that loses its parent becomes its child, so one
that also left its session is found too. Linux only; standard library only, so that nothing that
breaks a part can break the supervisor.
"""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from pixerve_site.parts import PR_SET_CHILD_SUBREAPER, Life, Part, prctl, spawn
from pixerve_site.processes import KILL_S, SWEEP_S, Heir, kill, processes
from pixerve_site.signals import handling

# `timeout make serve` and the like deliver one stop twice: to us, and to make, which passes it on.
SAME_STOP_S = 0.3


def _to_stderr(line: str) -> None:
    with suppress(OSError):  # a closed terminal is no reason to stop serving
        sys.stderr.write(f"supervisor: {line}\n")
        sys.stderr.flush()


class Supervisor:
    """Runs the parts until SIGINT, SIGTERM or SIGHUP (unless that is ignored, as under nohup).

    SIGUSR2 renews them: each is asked to end with SIGTERM and started anew from what lies on the
    disk by then, one that `relieves` beside its predecessor.

    Any exit of a part is a death: what is left of its session is killed, then it starts anew after
    a delay that grows while it keeps dying young. A stop asks the parts with SIGTERM, waits at most
    `grace_s` seconds for all of them, then kills; a second signal kills at once. `on_poll` is
    called every `poll_s` seconds on this thread and must be quick; what it raises is logged.
    `on_stop` is called once, before the parts are asked to end.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        grace_s: float = 25.0,
        on_poll: Callable[[], None] | None = None,
        on_stop: Callable[[], None] = lambda: None,
        poll_s: float = 1.0,
        log: Callable[[str], None] = _to_stderr,
    ) -> None:
        self._lives = {part.name: Life(part) for part in parts}
        if len(self._lives) != len(parts):
            raise ValueError("two parts have the same name")
        self._grace_s, self._on_poll, self._poll_s, self._log = grace_s, on_poll, poll_s, log
        self._on_stop = on_stop
        self._asked_at: float | None = None
        self._kill_now = False
        self._renewal_asked = False
        self._child_ended = False
        self._poll_due = 0.0

    def pids(self) -> dict[str, int]:
        """The process ids of the parts that are running now, by name."""
        running = [(life, leader) for life, leader in self._leaders() if not life.ended]
        return {life.part.name: leader.pid for life, leader in running if not life.retiring}

    def restart(self, name: str) -> None:
        """Kill the part at once and start it without a delay: for one that hangs.

        Call it on the thread of `run`, which is where `on_poll` runs. Raises KeyError for a name
        that is no part's; does nothing for a part that is down already.
        """
        life = self._lives[name]
        if life.leader and not life.ended:
            life.restart_asked = True
            kill(life.leader.pid, signal.SIGKILL)

    def run(self) -> int:
        """Run the parts until told to stop, on the main thread only; returns the exit code, 0."""
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        with handling(self._handlers()) as self._wait:
            self._heir = Heir()
            try:
                asked_at = self._keep_alive()
                self._on_stop()
                self._ask_to_stop(asked_at + self._grace_s)
            finally:
                self._kill_everyone()
                self._heir.dismiss()
        return 0

    def _handlers(self) -> dict[int, Callable[[], None]]:
        stops = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            stops.append(signal.SIGHUP)
        return {
            signal.SIGCHLD: self._note_child,
            signal.SIGUSR2: self._note_renewal,
            **dict.fromkeys(stops, self._note_stop),
        }

    def _note_renewal(self) -> None:
        self._renewal_asked = True

    def _note_child(self) -> None:
        self._child_ended = True

    def _note_stop(self) -> None:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
        elif now - self._asked_at > SAME_STOP_S:
            self._kill_now = True

    def _keep_alive(self) -> float:
        """Run until a stop is asked for; returns when that was, in monotonic seconds."""
        while self._asked_at is None:
            self._tend()
            self._renew()
            self._start_due()
            self._kill_overdue()
            self._poll()
            self._wait(self._pause_s())
        return self._asked_at

    def _renew(self) -> None:
        if not self._renewal_asked:
            return
        self._renewal_asked = False
        retiring = {life.part.name for life in self._lives.values() if life.retiring}
        for life, leader in list(self._leaders()):
            if life.ended or life.kill_at is not None or life.part.name in retiring:
                continue
            self._log(f"renewing {life.part.name} (pid {leader.pid})")
            if life.part.relieves:
                life.retiring = True
                self._lives[f"{life.part.name} {leader.pid}"] = life
                self._lives[life.part.name] = Life(life.part)
            else:
                life.restart_asked = True
                life.kill_at = time.monotonic() + self._grace_s
                kill(leader.pid, signal.SIGTERM)

    def _kill_overdue(self) -> None:
        for life, leader in self._leaders():
            if life.kill_at is not None and not life.ended and life.kill_at <= time.monotonic():
                life.kill_at = math.inf
                self._log(f"killing {life.part.name}, which did not stop")
                kill(leader.pid, signal.SIGKILL)

    def _ask_to_stop(self, deadline: float) -> None:
        for life, leader in self._leaders():
            if not life.ended and life.kill_at is None:
                kill(leader.pid, signal.SIGTERM)
        while True:
            self._tend()
            if not any(life.leader for life in self._lives.values()):
                return
            left_s = deadline - time.monotonic()
            if self._kill_now or left_s <= 0:
                break
            self._wait(min(SWEEP_S, left_s) if self._sweeping() else left_s)
        left = sorted({life.part.name for life, _ in self._leaders() if not life.ended})
        self._log(f"killing what did not stop: {', '.join(left) or 'leftovers'}")

    def _leaders(self) -> Iterator[tuple[Life, subprocess.Popen[bytes]]]:
        """The parts that have a process: running, or ended and not yet swept up."""
        for life in self._lives.values():
            if life.leader:
                yield life, life.leader

    def _sweeping(self) -> bool:
        return any(life.ended for life, _ in self._leaders())

    def _tend(self) -> None:
        """Look at every child that ended: bury the parts' leaders, reap the others."""
        if not self._child_ended and not self._sweeping():
            return
        self._child_ended = False
        for life, leader in self._leaders():
            self._note_death(life, leader)
        ended = {leader.pid for life, leader in self._leaders() if life.ended}
        self._bury(ended - self._sweep(ended))

    def _note_death(self, life: Life, leader: subprocess.Popen[bytes]) -> None:
        # WNOWAIT: as long as the leader is not reaped, nobody else can get its pid and session id.
        how = os.waitid(os.P_PID, leader.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if how is None or life.ended:
            return
        life.ended = True
        delay_s = life.next_delay(time.monotonic())
        life.due = time.monotonic() + delay_s
        then = f"starting again in {delay_s:g} s" if self._asked_at is None else "stopping"
        then = "it was replaced" if life.retiring else then
        self._log(f"{life.part.name} (pid {leader.pid}) ended: {_ending(how)}; {then}")

    def _sweep(self, sids: set[int]) -> set[int]:
        """Kill these sessions and all strays, reap orphans; returns the sessions still alive.

        A stray is a descendant that lost its parent and belongs to no part's session. Our own
        session is spared: no part can be in it.
        """
        leaders = {leader.pid for _, leader in self._leaders()} | {self._heir.pid}
        alive = set()
        for process in processes():
            ours = process.ppid == os.getpid() and process.sid != os.getsid(0)
            adopted = ours and process.pid not in leaders
            if process.ended:
                if adopted:
                    os.waitpid(process.pid, os.WNOHANG)
            elif process.sid in sids or (adopted and process.sid not in leaders):
                alive |= {process.sid} if kill(process.pid, signal.SIGKILL) else set()
        return alive

    def _bury(self, sids: set[int]) -> None:
        buried = [(life, leader) for life, leader in self._leaders() if leader.pid in sids]
        for life, _ in buried:
            life.leader, life.ended, life.kill_at = None, False, None
        self._lives = {
            key: life for key, life in self._lives.items() if life.leader or not life.retiring
        }
        self._tell_heir()
        for _, leader in buried:  # only now: reaping frees the pid, and with it the session id
            leader.wait()

    def _tell_heir(self) -> None:
        self._heir.tell(leader.pid for _, leader in self._leaders())

    def _start_due(self) -> None:
        now = time.monotonic()
        for life in self._lives.values():
            if life.leader is None and life.due <= now:
                self._start(life)

    def _start(self, life: Life) -> None:
        life.started = time.monotonic()
        try:
            life.leader = spawn(life.part, self._predecessor(life))
        except (OSError, subprocess.SubprocessError) as error:
            delay_s = life.next_delay(life.started)
            life.due = life.started + delay_s
            self._log(f"{life.part.name} did not start: {error}; trying again in {delay_s:g} s")
            return
        self._tell_heir()
        self._log(f"{life.part.name} started (pid {life.leader.pid})")

    def _predecessor(self, life: Life) -> int | None:
        """The process that still does this part's work, if there is one."""
        pids = (
            leader.pid
            for each, leader in self._leaders()
            if each.retiring and each.part.name == life.part.name and not each.ended
        )
        return next(pids, None)

    def _poll(self) -> None:
        if self._on_poll is None or time.monotonic() < self._poll_due:
            return
        self._poll_due = time.monotonic() + self._poll_s
        try:
            self._on_poll()
        except Exception as error:
            self._log(f"poll failed: {type(error).__name__}: {error}")

    def _pause_s(self) -> float | None:
        """Seconds until there is something to do; None when only a signal can bring that."""
        now = time.monotonic()
        times = [life.due for life in self._lives.values() if life.leader is None]
        due = (life.kill_at for life, _ in self._leaders())
        times += [each for each in due if each is not None and each != math.inf]
        if self._on_poll:
            times.append(self._poll_due)
        if self._sweeping():
            times.append(now + SWEEP_S)
        return max(0.0, min(times) - now) if times else None

    def _kill_everyone(self) -> None:
        deadline = time.monotonic() + KILL_S
        sids = {leader.pid for _, leader in self._leaders()}
        while alive := self._sweep(sids):
            if time.monotonic() > deadline:
                self._log(f"could not kill all of the sessions {sorted(alive)}")
                return
            self._wait(SWEEP_S)
        self._bury(sids)


def _ending(how: os.waitid_result) -> str:
    if how.si_code == os.CLD_EXITED:
        return f"exit code {how.si_status}"
    try:
        return f"killed by {signal.Signals(how.si_status).name}"
    except ValueError:  # most real-time signals have no name
        return f"killed by signal {how.si_status}"
