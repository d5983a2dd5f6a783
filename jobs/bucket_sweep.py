"""Sweeping the bucket that all hosts share. Each clerk does, as it costs a few requests a minute.

What is left of a job goes when the job has ended or never was; what cannot be removed now is found
the next time. Objects are listed first and rows read afterwards: whatever is begun in between is in
no list.
"""

import logging
import threading
import time
import uuid
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from django.db import Error as DatabaseError
from django.db import connections, transaction
from django.utils import timezone

from delivery.backends.errors import NoObject
from delivery.errors import DeliveryError
from jobs import arrivals, bucket, hosted, staging
from jobs.holds import is_kept
from jobs.models import Arrival, HostedFile, Job
from jobs.states import FINAL, State
from jobs.sweeping import is_needed, is_over, look_up

if TYPE_CHECKING:
    from delivery.backends.s3_bucket import Bucket, Entry

log = logging.getLogger("pixerve.retention")

EVERY_S = 60.0


class Sweeper:
    """Sweeps now and then, in a thread: the clerk has others to serve meanwhile."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._next = 0.0
        self._thread: threading.Thread | None = None
        self._lost = arrivals.Lost()

    def look(self) -> None:
        """Remove at once what arrives no more; sweep if it is time to."""
        if not bucket.in_use():
            return
        for uid in self._lost.take():
            log.warning("the upload %s arrives no more", uid)
            remove_lost(uid)
        if time.monotonic() >= self._next and not (self._thread and self._thread.is_alive()):
            self._next = time.monotonic() + self._every_s
            self._thread = threading.Thread(target=_sweep_alone, name="sweeper", daemon=True)
            self._thread.start()


def _sweep_alone() -> None:
    try:
        sweep()
    except DatabaseError as error:
        log.warning("the bucket could not be swept: %s", str(error).strip())
    except Exception:
        log.exception("the bucket could not be swept")
    finally:
        connections.close_all()


def remove_lost(uid: uuid.UUID) -> None:
    """What was there of an upload whose row was taken away; what cannot go now is swept."""
    staging.discard_there(uid)
    if not bucket.rests():
        with suppress(DeliveryError), bucket.opened() as opened:
            opened.abort_unfinished(f"{bucket.STAGING}/{uid}", lambda _: True)


def sweep(*, dry_run: bool = False) -> int:
    """Remove from the bucket what no job needs; returns how many jobs had something there."""
    if not bucket.in_use() or is_kept():
        return 0
    try:
        useless = _useless(staging.parts_there())
        if dry_run:
            return len(useless)
        for uid, parts in useless.items():
            staging.discard_there(uid, partial(set.__contains__, parts))
        with bucket.opened() as opened:
            _abort_uploads(opened)
        _forget_announced()
    except DeliveryError as error:
        log.warning("the bucket could not be swept: %s", error)
        return 0
    return len(useless)


def _useless(there: dict[uuid.UUID, set[str]]) -> dict[uuid.UUID, set[str]]:
    """Of these what nobody needs."""
    # In this order: what became a job in between is found as one.
    arriving = set(Arrival.objects.values_list("uid", flat=True))
    jobs = look_up(there)
    found = {
        uid: {part for part in parts if _is_useless(jobs.get(uid), part)}
        for uid, parts in there.items()
        if uid not in arriving
    }
    return {uid: parts for uid, parts in found.items() if parts}


def _is_useless(job: Job | None, part: str) -> bool:
    if job is None or not is_needed(job):
        return True
    claim = staging.claim_of(part)
    return claim is not None and is_over(job, claim)


def _abort_uploads(opened: "Bucket") -> None:
    """Unfinished uploads of those who were killed, paid for and in no listing."""
    opened.abort_unfinished(bucket.STAGING, _is_cut)
    opened.abort_unfinished(bucket.HOSTED, _is_nobodys)


def _is_cut(upload: "Entry") -> bool:
    try:
        uid, part = uuid.UUID(upload.key.split("/")[1]), upload.key.split("/")[2]
    except (IndexError, ValueError):
        return False
    if Arrival.objects.filter(uid=uid).exists():
        return False
    job, claim = look_up([uid]).get(uid), staging.claim_of(part)
    # A job's source was there before the job.
    return job is None or claim is None or is_over(job, claim)


def _is_nobodys(upload: "Entry") -> bool:
    """Whether no worker is at a job that may publish this path."""
    path = upload.key.partition("/")[2]
    # A path has a row before anything is put there, and belongs to the jobs of one reference.
    row = HostedFile.objects.filter(path=path).first()
    at_work = Job.objects.filter(state=State.PROCESSING).exclude(owner="")
    return row is None or not at_work.filter(reference=row.reference_id).exists()


def _forget_announced() -> None:
    """Files that were announced by jobs which failed before they said what they are."""
    since = timezone.now() - timedelta(days=1)
    rows = HostedFile.objects.filter(sha256="", job__state__in=FINAL, job__finished_at__gt=since)
    for row in rows:
        with transaction.atomic():
            # With the job's row locked nobody replays it meanwhile.
            jobs = Job.objects.select_for_update(of=("self",))
            ended = jobs.filter(hosted_files=row, state__in=FINAL).first()
            # A newer job that is about to put the file there takes the row over.
            announced = HostedFile.objects.filter(pk=row.pk, job=ended, sha256="")
            if ended is not None and announced.delete()[0]:
                with suppress(NoObject):
                    hosted.remove(row.path)
