"""Sweeping staging on this host, and half-written hosted files: what those left who were killed.

It goes by what is known, not by age: a job that has ended needs nothing, a claim that is over will
deliver nothing, and of an upload without a job a lock says whether somebody still brings it.
"""

import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from credentials import local_roots
from delivery.hosting import HostedRoot
from jobs import bucket, hosted, intake, staging
from jobs.holds import is_kept, unheld
from jobs.models import Job
from jobs.states import IN_FLIGHT, State

log = logging.getLogger("pixerve.retention")

BATCH = 500
# Only so that nobody has to tell a folder that was made this instant, and is not locked yet.
ORPHAN_AGE_S = 60
# Longer than a fetch may go without a byte.
TEMPORARY_AGE_S = 120
# Longer than any publish; whoever publishes the same again has removed what was left before.
HALF_WRITTEN_AGE_S = 6 * 3600
_DAY_S = 86400


def look_up(uids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Job]:
    """The jobs of these, as far as there are any, with what `is_needed` and `is_over` ask for."""
    found: dict[uuid.UUID, Job] = {}
    names = list(uids)
    wanted = Job.objects.only("uid", "state", "has_source", "fence", "made_by")
    for start in range(0, len(names), BATCH):
        found |= {job.uid: job for job in wanted.filter(uid__in=names[start : start + BATCH])}
    return found


def is_needed(job: Job) -> bool:
    """Whether something of it must stay in staging."""
    return job.state in IN_FLIGHT or (job.state == State.FAILED and job.has_source)


def is_over(job: Job, claim: int) -> bool:
    """Whether what this claim made is of no use any more. List it first, then read the row: a claim
    that begins in between has a higher number."""
    at_work = job.state == State.PROCESSING and claim >= job.fence
    return claim != job.made_by and not at_work


def orphans(min_age_s: float = ORPHAN_AGE_S) -> list[uuid.UUID]:
    """Staging folders on this host that no job needs, and nobody brings."""
    folders = dict(staging.folders())
    jobs = look_up(folders)
    before = time.time() - min_age_s
    ended = [uid for uid, job in jobs.items() if not is_needed(job)]
    return ended + [
        uid for uid, at in folders.items() if uid not in jobs and _is_left(uid, at, before)
    ]


def _is_left(uid: uuid.UUID, changed: float, before: float) -> bool:
    if changed >= before:
        return False
    with unheld(staging.folder(uid)) as left:
        return left


def sweep_staging(min_age_s: float = ORPHAN_AGE_S) -> int:
    """Remove this host's orphaned staging folders, and from the others what no claim needs; returns
    how many folders. The clerk calls it every few seconds."""
    folders = dict(staging.folders())
    jobs = look_up(folders)
    before = time.time() - min_age_s
    removed = 0
    for uid, changed in folders.items():
        job = jobs.get(uid)
        if job is None:
            removed += changed < before and _remove_orphan(uid)
        elif not is_needed(job):
            staging.discard_here(uid)
            removed += 1
        elif job.fence:
            _tidy(job, changed)
    return removed


def _remove_orphan(uid: uuid.UUID) -> bool:
    with unheld(staging.folder(uid)) as left:
        if not left or not intake.is_nobodys(uid):
            return False
        staging.discard_here(uid)
    return True


def _tidy(job: Job, changed: float) -> None:
    """Remove what claims that are over made of a job that goes on, and what nobody fetches."""
    if time.time() - changed > _DAY_S or (is_kept() and not bucket.in_use()):
        return
    with suppress(OSError):
        found = [
            (staging.claim_of(each.name), each) for each in os.scandir(staging.folder(job.uid))
        ]
        over = {claim for claim, _ in found if claim is not None and is_over(job, claim)}
        if over:
            # The folder of a claim is made after the claim: only a row that is read after the
            # list knows of all that is in it.
            now = look_up([job.uid]).get(job.uid)
            over = {claim for claim in over if now is not None and is_over(now, claim)}
        for claim, each in found:
            if claim in over:
                shutil.rmtree(each.path, ignore_errors=True)
            elif claim is not None and bucket.in_use():
                _remove_temporary(os.scandir(each.path))
            elif claim is None:
                _remove_temporary([each])


def _remove_temporary(entries: "Iterable[os.DirEntry[str]]") -> None:
    before = time.time() - TEMPORARY_AGE_S
    for each in entries:
        # What a converter writes was not fetched: it may take longer, and goes with its claim.
        fetched = each.name.startswith(".") and not each.name.endswith(".part")
        if fetched and each.stat().st_mtime < before:
            Path(each.path).unlink(missing_ok=True)


def clean_up_after(job: Job) -> None:
    """Remove what whoever held this job was publishing, and did not. Call it before the job goes to
    somebody else."""
    if not job.spec.get("directHost") or bucket.in_use():
        return
    try:
        hosted.clean(intake.output_keys(job))
    except Exception:
        log.exception("job %s: half-written files stay until the daily sweep", job.uid)


def sweep_folders() -> None:
    """Remove half-written files that nobody came back to, below `/files/` and in the folders of
    credentials. Who sends a file again has removed what was left of it before."""
    for folder in [Path(settings.PIXERVE.serve_dir), *local_roots.folders()]:
        try:
            HostedRoot(folder).sweep(HALF_WRITTEN_AGE_S)
        except OSError as error:
            log.warning("half-written files in %s stay: %s", folder, error.strerror)


def prune_staging(*, dry_run: bool = False, min_age_s: float = ORPHAN_AGE_S) -> int:
    """Remove orphaned staging folders and half-written files; returns how many folders."""
    if dry_run:
        return len(orphans(min_age_s))
    sweep_folders()
    return sweep_staging(min_age_s)
