"""django-q2's cluster, made to give up rather than to stall.

django-q2 survives the death of a busy worker, but not that of an idle one (it dies holding the
queue's lock) or of its monitor. So a sentinel that finds any of its processes dead gives up: it
exits, its children die with it, the supervisor starts a new cluster, and the reaper returns what
was cut. Only a worker that was recycled on purpose is replaced in place.
"""

import contextlib
import gc
import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterable
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from django import db
from django.conf import settings
from django_q import cluster as django_q_cluster
from django_q.conf import Conf

from encoders.sandbox import die_with
from jobs import bells, leases

log = logging.getLogger("pixerve.cluster")

_RECYCLED = -2
_BUFFER_S = 3  # django-q2's own, so that a worker's alarm comes before the sentinel
_stop_event: Event | None = None
_timer: Any = None  # of this process, where it is a worker; the sentinel counts it down


def stopping() -> bool:
    """Whether this cluster was asked to stop: no new claims."""
    return _stop_event is not None and _stop_event.is_set()


def show_life() -> None:
    """Give the task at which this worker is its whole time anew: what is long and honest is no
    hang, which django-q2's timeout is a last resort for."""
    if _timer is not None and _timer.value > 0:
        _timer.value = Conf.TIMEOUT + _BUFFER_S
        signal.alarm(Conf.TIMEOUT)


def pid_file() -> Path:
    """Holds the owner name of the cluster's main process; `main_process` reads it."""
    return Path(settings.PIXERVE.data_dir) / "run" / "cluster.pid"


def main_process() -> str | None:
    """The owner name of the last cluster on this data folder, dead or alive; None before any."""
    try:
        return pid_file().read_text(encoding="utf-8")
    except OSError:
        return None


def still_processes() -> list[str]:
    """The owner names of those processes of this host's cluster that are stopped, and do nothing;
    or dead and not buried, as django-q2's sentinel asks for a lock that died with its worker before
    it looks who lives. Its converters' children are their workers' business."""
    main = main_process()
    if main is None or not leases.lives_here(main):
        return []
    first = leases.pid_of(main)
    family = [first]
    for sentinel in leases.children(first):
        family += [sentinel, *leases.children(sentinel)]
    return [leases.owner_of(pid) for pid in family if leases.stands_still(pid)]


class Sentinel(django_q_cluster.Sentinel):  # type: ignore[misc]
    """A sentinel that ends the whole cluster when one of its processes dies."""

    def __init__(self, stop_event: Event, *args: Any, **kwargs: Any) -> None:
        global _stop_event  # noqa: PLW0603 - inherited by the workers that this process forks
        _stop_event = stop_event
        super().__init__(stop_event, *args, **kwargs)

    def spawn_process(self, target: Any, *args: Any) -> Any:
        global _timer  # noqa: PLW0603 - inherited by the worker that is forked here
        _timer = args[2] if target is django_q_cluster.worker else None
        return super().spawn_process(target, *args)

    def reincarnate(self, process: Any) -> None:
        if process in self.pool and int(process.timer.value) == _RECYCLED:
            super().reincarnate(process)
            return
        log.error("process %s of the cluster died; giving up for a fresh start", process.pid)
        self._excuse(each for each in self.pool if each is not process)
        os._exit(1)

    def _excuse(self, workers: Iterable[Any]) -> None:
        """Their jobs are cut by us; that must not be held against them."""
        owners = [leases.owner_of(each.pid) for each in workers]
        with contextlib.suppress(db.Error):
            db.connections.close_all()
            leases.excuse(owners)

    def stop(self) -> None:
        # Whoever does not end in time is killed, and not by its job.
        self._excuse(self.pool)
        bells.queue.ring_here()  # the pusher waits on it
        super().stop()


def _bind_forks() -> None:
    """From here on each process that is forked dies with the one that forked it."""
    parent = [0]

    def bind() -> None:
        try:
            die_with(parent[0])
        except SystemExit:
            os._exit(1)  # Python would print what a hook raises, and run the orphan

    os.register_at_fork(
        before=lambda: parent.__setitem__(0, os.getpid()),
        after_in_child=bind,
    )


def _own_work_folder() -> Path:
    """Where this cluster's converters work; what killed clusters left there goes."""
    work = Path(settings.PIXERVE.data_dir) / "run" / "work"
    own = work / str(os.getpid())  # in a container the one before had it, more often than not
    for left in work.glob("*"):
        if left == own or not Path("/proc", left.name).exists():
            shutil.rmtree(left, ignore_errors=True)
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    return own


def run() -> None:
    """Run a cluster until SIGTERM or its death. Returns when it has stopped."""
    _bind_forks()
    # django-q2 offers no other way to say which sentinel a cluster starts.
    django_q_cluster.Sentinel = Sentinel
    path = pid_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(leases.myself(), encoding="utf-8")
    work = _own_work_folder()
    tempfile.tempdir = str(work)
    # The workers share what is loaded by now; frozen, their garbage collectors leave it alone.
    gc.collect()
    gc.freeze()
    cluster = django_q_cluster.Cluster()
    cluster.start()
    while cluster.sentinel.is_alive():
        cluster.sentinel.join(timeout=3600)
    shutil.rmtree(work, ignore_errors=True)


class Stopwatch:
    """How long this cluster has been stopping, as one worker sees it."""

    def __init__(self) -> None:
        self._since: float | None = None

    def seconds(self) -> float:
        if not stopping():
            return 0.0
        if self._since is None:
            self._since = time.monotonic()
        return time.monotonic() - self._since
