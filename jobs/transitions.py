"""The verbs of the job table, each one conditional UPDATE that names the state it leaves.

Nothing else in the project writes `Job.state`. A verb returns whether it happened; when it did
not, somebody else was first and there is nothing to repair.
"""

from functools import cache
from typing import Any

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from jobs import queue, rows, shares
from jobs.models import Job
from jobs.states import FINAL, TRANSITIONS, Stage, State


def move(rows: QuerySet[Job], leave: State, to: State, **changes: Any) -> int:
    """Move those of `rows` that are in `leave` to `to`; returns how many.

    Raises ValueError for a way that `jobs.states` does not draw.
    """
    if to not in TRANSITIONS[leave]:
        raise ValueError(f"no way from {leave} to {to}")
    now = timezone.now()
    changes.setdefault("stage", Stage.NONE)
    if to in FINAL:
        changes.setdefault("finished_at", now)
    return rows.filter(state=leave).update(state=to, updated_at=now, **changes)


def claim_best(owner: str) -> Job | None:
    """pending → processing for the best runnable job: `owner` gets the lease and a new fence.

    One statement, because this runs for every job and on every worker at once. Returns the job as
    it is after the claim, None where nothing is runnable.
    """
    if shares.limited():
        return _claim_within_shares(owner)
    return _claim(owner, _claim_sql(_best_sql()))


def _claim_within_shares(owner: str) -> Job | None:
    with transaction.atomic():
        shares.count_alone()
        best = shares.best()
        return None if best is None else _claim(owner, _claim_sql("%(best)s"), best=best)


def _claim(owner: str, sql: str, **values: int) -> Job | None:
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    return rows.fetch(Job, sql, {"owner": owner, "now": now, **values})


@cache
def _best_sql() -> str:
    """The order is that of `jobs.queue.runnable`; other workers' rows are stepped over."""
    skip = "FOR UPDATE SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""
    return f"""(SELECT id FROM {Job._meta.db_table} WHERE state = 'pending' AND run_after <= %(now)s
                 ORDER BY priority, turn, id LIMIT 1 {skip})"""  # noqa: S608 - likewise


@cache
def _claim_sql(which: str) -> str:
    return f"""
        UPDATE {Job._meta.db_table}
           SET state = 'processing', stage = 'converting', owner = %(owner)s, beat = 0,
               fence = fence + 1, attempts = attempts + 1, excused = FALSE, done = 0,
               claimed_at = %(now)s, updated_at = %(now)s
         WHERE state = 'pending' AND id = {which}
        RETURNING {rows.columns(Job)}"""  # noqa: S608 - no value of a caller is in it


def held(job: Job) -> QuerySet[Job]:
    """The row of a job, if the lease that `job` was claimed with still stands."""
    return Job.objects.filter(pk=job.pk, fence=job.fence, state=State.PROCESSING)


def put_back(job: Job, **changes: Any) -> bool:
    """processing → pending, by its holder or in its name; the old lease is void."""
    return bool(
        move(
            held(job),
            State.PROCESSING,
            State.PENDING,
            owner="",
            fence=F("fence") + 1,
            **changes,
        )
    )


def finish(job: Job, **changes: Any) -> bool:
    """processing → completed. Like the claim a plain statement, as every job comes by here."""
    now = timezone.now()
    final = {"state": State.COMPLETED, "stage": Stage.NONE, "owner": ""}
    changes |= final | {"finished_at": now, "updated_at": now}
    lease = {"id": job.pk, "fence": job.fence, "state": State.PROCESSING}
    return bool(rows.update(Job, changes, where=lease))


def fail(job: Job, code: str, message: str, **changes: Any) -> bool:
    """processing → failed, with its reason."""
    return bool(
        move(
            held(job),
            State.PROCESSING,
            State.FAILED,
            owner="",
            error_code=code,
            error_message=message,
            **changes,
        )
    )


def cancel(job: Job) -> bool:
    """created or pending → cancelled."""
    rows = Job.objects.filter(pk=job.pk)
    return bool(
        move(rows, State.PENDING, State.CANCELLED, has_source=False)
        or move(rows, State.CREATED, State.CANCELLED, has_source=False)
    )


def replay(job: Job) -> bool:
    """failed → pending, as new: a turn of today, and the count of its mishaps starts again."""
    return bool(
        move(
            Job.objects.filter(pk=job.pk, has_source=True),
            State.FAILED,
            State.PENDING,
            turn=queue.next_turn(job.subject, job.priority),
            run_after=timezone.now(),
            finished_at=None,
            attempts=0,
            crashes=0,
            lost_leases=0,
            done=0,
            error_code="",
            error_message="",
        )
    )
