"""The broker through which django-q2 learns that there is work.

Jobs are not messages: a wake-up says nothing, and the worker that gets one claims the best row of
the job table. So no wake-up is stored either: one is handed out while a row is runnable, and the
pusher waits on the queue's bell while none is. All other tasks (schedules) are ordinary messages of
django-q2's database broker.
"""

import logging
import time
from functools import cache

from django import db
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.signing import SignedPackage

from jobs import bells, queue

log = logging.getLogger("pixerve.cluster")

WAKE = "jobs.pipeline.wake"
STORED_EVERY_S = 5.0


@cache
def _wake_up() -> str:
    """A signed task without a content of its own: the same one serves for ever."""
    return str(
        SignedPackage.dumps(
            {"id": "wake", "name": "wake", "func": WAKE, "args": (), "kwargs": {}, "started": None}
        )
    )


class JobBroker(ORM):  # type: ignore[misc]
    """django-q2's database broker, with the job table in front."""

    _stored_due = 0.0

    def dequeue(self) -> list[tuple[int | None, str]] | None:
        """One wake-up, or stored tasks, or None after waiting for the bell or the poll time."""
        db.close_old_connections()
        try:
            if self._stored_task_waits():
                found: list[tuple[int | None, str]] | None = super().dequeue()
                return found
            if queue.any_runnable():
                return [(None, _wake_up())]
        except db.Error as error:
            # django-q2 would end the pusher, and with it the cluster and what its workers make.
            log.warning("the database is away; looking again: %s", str(error).strip())
        bells.queue.wait(Conf.POLL)
        return None

    def _stored_task_waits(self) -> bool:
        """Looked at every few seconds only, and first, so that no backlog starves a schedule."""
        if time.monotonic() < self._stored_due:
            return False
        waiting = self.get_connection().filter(key=self.list_key, lock__lt=timezone.now())
        if waiting.exists():
            return True
        self._stored_due = time.monotonic() + STORED_EVERY_S
        return False
