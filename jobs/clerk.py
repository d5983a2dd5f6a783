"""The clerk: one small loop for all that happens at a certain time rather than on a wake-up.

It sends due callbacks and deliveries, reaps jobs whose worker is gone, sweeps staging, and watches
over a cluster that hangs. Any number of clerks may run; rows decide.
"""

import contextlib
import logging
import os
import signal
import threading
import time

from django.conf import settings
from django.db import Error as DatabaseError

from jobs import bells, clocks, cluster, leases, outages, outcomes, queue, retention, sweeping
from jobs.bucket_sweep import Sweeper
from jobs.callbacks import Sender
from jobs.models import Job
from jobs.postman import Postman
from jobs.states import State

log = logging.getLogger("pixerve.clerk")

TICK_S = 2.0
WATCH_EVERY_S = 5.0
SWEEP_EVERY_S = 15.0
HANG_S = 20.0
# Longer than it takes to give the job of a stopped worker to another.
STOPPED_S = 3 * leases.LEASE_S


def reap(reaper: leases.Reaper) -> int:
    """Return the jobs of holders that are gone to the queue, or fail those too often lost."""
    reaped = 0
    for job in reaper.gone():
        sweeping.clean_up_after(job)
        if leases.is_one_too_many(job):
            log.error("job %s lost its worker %d times", job.uid, leases.MAX_LOST)
            reaped += outcomes.fail(
                job,
                "worker_lost",
                f"the worker was lost {leases.MAX_LOST} times while it held this job",
            )
        elif leases.give_back(job):
            log.warning("job %s came back from a lost worker", job.uid)
            reaped += 1
    if reaped:
        bells.queue.ring()
    return reaped


class Watchdog:
    """Kills this host's cluster when it hangs: workers are free, yet the best job stays unclaimed,
    or one of its processes is stopped (SIGSTOP, a debugger that was left) and takes no part, or is
    dead and nobody buries it.

    The supervisor starts a new one. Deaths need no watchdog: see `jobs.cluster`.
    """

    def __init__(self, hang_s: float = HANG_S, stopped_s: float = STOPPED_S) -> None:
        self._hang_s = hang_s
        self._stopped_s = stopped_s
        self._since = time.monotonic()
        self._stuck: tuple[str | None, int, int] | None = None
        self._stopped: dict[str, float] = {}

    def look(self) -> bool:
        """Look once; True if the cluster was killed."""
        return self.look_at_processes() or self._look_at_queue()

    def look_at_processes(self) -> bool:
        """The half that needs no database: one of them may hold the lock that all wait for."""
        now = time.monotonic()
        stopped = cluster.still_processes()
        self._stopped = {owner: self._stopped.get(owner, now) for owner in stopped}
        if not any(now - since >= self._stopped_s for since in self._stopped.values()):
            return False
        self._stopped = {}
        return kill_cluster("a process of it is stopped, or dead and not buried")

    def forget_queue(self) -> None:
        """Nobody could see the queue for a while: begin anew."""
        self._since, self._stuck = time.monotonic(), None

    def _look_at_queue(self) -> bool:
        before, self._stuck = self._stuck, self._unclaimed()
        if self._stuck is None or self._stuck != before:
            self._since = time.monotonic()
            return False
        if time.monotonic() - self._since < self._hang_s:
            return False
        self._since = time.monotonic()
        return kill_cluster("work waits and nobody claims it")

    def _unclaimed(self) -> tuple[str | None, int, int] | None:
        """The best runnable job (its key and fence), if a worker of this host is free to claim it;
        and the cluster whose worker that is, as a new one gets its own time."""
        leased = Job.objects.filter(state=State.PROCESSING).values_list("owner", flat=True)
        if sum(map(leases.is_here, leased)) >= settings.PIXERVE.max_workers:
            return None
        best = queue.runnable().values_list("pk", "fence").first()
        return best and (cluster.main_process(), *best)


def kill_cluster(reason: str) -> bool:
    """Kill this host's cluster, if it lives; what it held is not held against the jobs."""
    owner = cluster.main_process()
    if owner is None or not leases.lives_here(owner):
        return False
    log.error("the cluster hangs: %s; killing it", reason)
    with contextlib.suppress(ProcessLookupError):
        os.kill(leases.pid_of(owner), signal.SIGKILL)
    # Not before: one of them may hold the database's lock.
    with contextlib.suppress(DatabaseError):
        leases.excuse()
    return True


class Clerk:
    """The loop. `stop()` may be called from a signal handler."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._sender = Sender()
        self._postman = Postman()
        self._reaper = leases.Reaper()
        self._watchdog = Watchdog()
        self._sweeper = Sweeper()
        self._clock = clocks.Follower()
        self._next_watch = 0.0
        self._next_sweep = 0.0

    def stop(self) -> None:
        self._stopped.set()
        bells.clerk.ring_here()

    def run(self) -> None:
        """Work until stopped; then let the requests under way end."""
        while not self._stopped.is_set():
            try:
                self.tick()
            except DatabaseError:
                log.exception("the database is away; trying again")
                outages.forget_connection()
                # Nobody could be seen meanwhile: time spent so is nobody's silence.
                self._reaper, self._sweeper = leases.Reaper(), Sweeper()
                self._watchdog.forget_queue()
            bells.clerk.wait(TICK_S)
        self._postman.close()
        self._sender.close()

    def tick(self) -> None:
        """Everything that is due now."""
        self._watchdog.look_at_processes()
        self._clock.follow()
        self._sender.send_due()
        self._postman.send_due()
        reap(self._reaper)
        if time.monotonic() >= self._next_watch:
            self._next_watch = time.monotonic() + WATCH_EVERY_S
            self._watchdog.look()
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + SWEEP_EVERY_S
            retention.keep_within_budget()
            sweeping.sweep_staging()
        self._sweeper.look()
