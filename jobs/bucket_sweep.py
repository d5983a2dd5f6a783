"""Sweeping the bucket that all hosts share: a schedule does it, once for all of them.

What is left of a job goes when the job has ended or never was; what cannot be removed now is found
the next time.
"""

import logging
import time
import uuid
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from delivery.backends.errors import NoObject
from delivery.errors import DeliveryError
from jobs import bucket, hosted, staging
from jobs.models import HostedFile, Job
from jobs.retention import ORPHAN_AGE_S, unneeded
from jobs.states import FINAL, State

if TYPE_CHECKING:
    from delivery.backends.s3_bucket import Entry

log = logging.getLogger("pixerve.retention")

# The longest upload of one file to the bucket takes less.
CUT_UPLOAD_AGE_S = 2 * 3600


def sweep(min_age_s: float = ORPHAN_AGE_S, *, dry_run: bool = False) -> int:
    """Remove from the bucket what no job needs; returns how many jobs had something there."""
    if not bucket.in_use():
        return 0
    try:
        found = unneeded(staging.folders_there(), time.time() - min_age_s)
        if dry_run:
            return len(found)
        for uid in found:
            staging.discard(uid)
        _abort_uploads(time.time() - CUT_UPLOAD_AGE_S)
        _forget_announced()
    except DeliveryError as error:
        log.warning("the bucket could not be swept: %s", error)
        return 0
    return len(found)


def _abort_uploads(before: float) -> None:
    """Unfinished uploads of those who were killed, paid for and in no listing: of a claim that is
    over at once, others when they are old."""

    def is_stale(upload: "Entry") -> bool:
        return upload.modified.timestamp() < before or _is_over(upload.key)

    with bucket.opened() as opened:
        opened.abort_unfinished(bucket.STAGING, is_stale)
        opened.abort_unfinished(bucket.HOSTED, lambda each: each.modified.timestamp() < before)


def _is_over(key: str) -> bool:
    """Whether the claim that an object of staging belongs to is over."""
    try:
        uid, part = uuid.UUID(key.split("/")[1]), key.split("/")[2]
    except (IndexError, ValueError):
        return False
    job = Job.objects.filter(uid=uid).first()
    if job is None:
        return False
    # A job's source was there before the job.
    claim = staging.claim_of(part) or 0
    return claim < job.fence or job.state != State.PROCESSING


def _forget_announced() -> None:
    """Files that were announced by jobs which failed before they said what they are."""
    since = timezone.now() - timedelta(days=1)
    rows = HostedFile.objects.filter(sha256="", job__state__in=FINAL, job__finished_at__gt=since)
    for row in rows:
        with transaction.atomic():
            # With the job's row locked nobody replays it meanwhile.
            ended = Job.objects.select_for_update(of=("self",)).filter(
                hosted_files=row, state__in=FINAL
            )
            if ended.first() and HostedFile.objects.filter(pk=row.pk, sha256="").delete()[0]:
                with suppress(NoObject):
                    hosted.remove(row.path)
