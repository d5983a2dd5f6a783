"""The figures of the dashboard's first page: what waits, what failed, how much was done.

Each comes from the head or a range of an index and from a fixed number of queries, however many
jobs there are.
"""

from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from django.db.models import CharField, Count, QuerySet, Sum
from django.db.models.functions import Cast, Substr
from django.urls import reverse
from django.utils import timezone

from jobs import queue
from jobs.models import Callback, CallbackState, Failure, Job, Success
from jobs.states import IN_FLIGHT, State

HOURS = 24
LATEST = 6
SAMPLE = 100
_HOUR = "%Y-%m-%d %H"


def hours(now: datetime) -> list[datetime]:
    """The starts of the last 24 clock hours (UTC), the current one last."""
    current = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return [current - timedelta(hours=ago) for ago in reversed(range(HOURS))]


def _by_hour(records: QuerySet[Any], since: datetime, **sums: Sum) -> dict[str, dict[str, int]]:
    """Count (and sums) of the records of each clock hour, by `YYYY-MM-DD HH` in UTC.

    The hour is cut from the timestamp's text: on SQLite, Django's TruncHour calls Python for every
    row, which is twenty times slower.
    """
    hour = Substr(Cast("timestamp", CharField()), 1, len("2000-01-01 00"))
    rows = records.filter(timestamp__gte=since).order_by().annotate(hour=hour).values("hour")
    return {row["hour"]: row for row in rows.annotate(count=Count("pk"), **sums)}


def last_day(now: datetime) -> dict[str, Any]:
    """What ended in the last 24 clock hours: totals, and one entry per hour for the chart.

    {"completed", "failed", "files", "bytes", "hours": [{"start", "completed", "failed"}]}
    """
    starts = hours(now)
    done = _by_hour(
        Success.objects.all(), starts[0], files=Sum("file_count"), bytes=Sum("output_bytes")
    )
    failed = _by_hour(Failure.objects.all(), starts[0])
    bars = [
        {
            "start": start.isoformat(),
            "completed": done.get(start.strftime(_HOUR), {}).get("count", 0),
            "failed": failed.get(start.strftime(_HOUR), {}).get("count", 0),
        }
        for start in starts
    ]
    return {
        "completed": sum(row["count"] for row in done.values()),
        "failed": sum(row["count"] for row in failed.values()),
        "files": sum(row["files"] for row in done.values()),
        "bytes": sum(row["bytes"] for row in done.values()),
        "hours": bars,
    }


def in_flight() -> dict[str, int]:
    """How many jobs are created, pending and processing."""
    rows = Job.objects.filter(state__in=IN_FLIGHT).order_by().values_list("state")
    counts = dict(rows.annotate(count=Count("pk")))
    return {str(state): counts.get(state, 0) for state in IN_FLIGHT}


def oldest_wait_s(now: datetime) -> float | None:
    """Seconds since the longest waiting of the next jobs could have been claimed."""
    oldest = queue.oldest_wait()
    return None if oldest is None else round(max(0.0, (now - oldest).total_seconds()), 1)


def typical_s() -> float | None:
    """Median seconds from upload to completion, over the latest jobs that completed."""
    rows = Job.objects.filter(state=State.COMPLETED).order_by("-id")
    times = [
        (finished - created).total_seconds()
        for created, finished in rows.values_list("created_at", "finished_at")[:SAMPLE]
        if finished is not None
    ]
    return round(median(times), 2) if times else None


def job_url(pk: int) -> str:
    """The job's page in the admin."""
    return reverse("admin:jobs_job_change", args=[pk])


def latest_jobs() -> list[dict[str, Any]]:
    """The newest jobs: name, subject, state, progress, page."""
    rows = Job.objects.order_by("-id").only(
        "upload_name", "subject", "state", "stage", "done", "total", "created_at"
    )
    return [
        {
            "name": job.upload_name,
            "subject": job.subject,
            "state": job.state,
            "stage": job.stage,
            "done": job.done,
            "total": job.total,
            "at": job.created_at.isoformat(),
            "url": job_url(job.pk),
        }
        for job in rows[:LATEST]
    ]


def latest_failures() -> list[dict[str, Any]]:
    """The newest failures, each with its reason and its job's page."""
    rows = (
        Failure.objects.select_related("job")
        .order_by("-id")
        .only("code", "message", "timestamp", "job__upload_name")
    )
    return [
        {
            "name": failure.job.upload_name,
            "code": failure.code,
            "message": failure.message,
            "at": failure.timestamp.isoformat(),
            "url": job_url(failure.job_id),
        }
        for failure in rows[:LATEST]
    ]


def callbacks(now: datetime) -> dict[str, int]:
    """How many are to be sent, and how many were given up in the last 24 hours."""
    open_ = Callback.objects.filter(state__in=[CallbackState.WAITING, CallbackState.SENDING])
    # The time of the last try stands in `next_at`, which the index holds.
    lost = Callback.objects.filter(
        state=CallbackState.GIVEN_UP, next_at__gte=now - timedelta(hours=HOURS)
    )
    return {"waiting": open_.count(), "given_up": lost.count()}


def figures() -> dict[str, Any]:
    """Everything above as one JSON object."""
    now = timezone.now()
    return {
        "at": now.isoformat(),
        "in_flight": in_flight(),
        "oldest_wait_s": oldest_wait_s(now),
        "typical_s": typical_s(),
        "day": last_day(now),
        "callbacks": callbacks(now),
        "latest_jobs": latest_jobs(),
        "latest_failures": latest_failures(),
    }
