"""Jobs that the database makes by itself: of a million, Python would take minutes.

What is not named of a row is as in the first one of its table, so there must be a job already. In
the database of a server:

    manage.py shell -c "from benchmarks.queue.fill import grow; grow(1000000)"
"""

import re
from collections.abc import Mapping
from datetime import timedelta

from django.db import connection
from django.db.models import Max, Model
from django.utils import timezone

from jobs.models import (
    Callback,
    CallbackAttempt,
    Event,
    HostedFile,
    Job,
    Reference,
    Rendition,
    Success,
)

AT_ONCE = 100_000
_PERCENT = re.compile("%(?!s)")
_NUMBERS = """WITH RECURSIVE numbers(n) AS (
    SELECT CAST(%s AS integer) UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < %s)"""


def fill(first: int, count: int, state: str, subjects: int) -> None:
    """`count` jobs in this state, of so many subjects, with numbers from `first` on."""
    if not count:
        return
    sha256 = "lpad(n::text, 64, '0')" if _on_postgres() else "printf('%064d', n)"
    subject = {"subject": f"'s' || (n % {subjects})", "sha256": sha256}
    job = {
        "state": f"'{state}'",
        "turn": f"n / {subjects}",
        "reference_id": sha256,
        "has_source": "TRUE" if state == "pending" else "FALSE",
        "finished_at": "NULL" if state == "pending" else "CURRENT_TIMESTAMP",
        "uid": _new_id(),
    }
    _insert(Reference, "numbers", {**subject, "name": sha256}, _NUMBERS, first, first + count)
    _insert(Job, "numbers", {**subject, **job}, _NUMBERS, first, first + count)


def _new_id() -> str:
    return "gen_random_uuid()" if _on_postgres() else "lower(hex(randomblob(16)))"


def _on_postgres() -> bool:
    return connection.vendor == "postgresql"


def _insert(
    model: type[Model], source: str, made: Mapping[str, str], before: str, *values: int
) -> None:
    """A row for each of `source`."""
    names = [str(field.column) for field in model._meta.concrete_fields if field.column != "id"]
    table = model._meta.db_table
    shown = ", ".join(made.get(name, f"first.{name}") for name in names)
    sql = f"""{before} INSERT INTO {table} ({", ".join(names)})
        SELECT {shown} FROM {source}, (SELECT * FROM {table} LIMIT 1) first"""  # noqa: S608 - ours
    with connection.cursor() as cursor:
        cursor.execute(_PERCENT.sub("%%", sql), values)


def grow(count: int, files: int = 1) -> None:
    """Bring the tables of a server to this many jobs: those that are added completed, each with so
    many files, its records and its event, and a callback if the first one has one. One job with a
    hosted file must be there."""
    there = Job.objects.count()
    for first in range(there, count, AT_ONCE):
        added = min(AT_ONCE, count - first)
        last = Job.objects.aggregate(last=Max("id"))["last"]
        fill(first, added, "completed", max(1, count // 100))
        _add_records(last, files)
    _settle()


def _add_records(last: int, files: int) -> None:
    """What a completed job leaves, for the jobs behind this one."""
    behind = f"(SELECT * FROM {Job._meta.db_table} WHERE id > %s) job"  # noqa: S608 - ours
    own = {"job_id": "job.id", "subject": "job.subject", "reference_id": "job.reference_id"}
    for number in range(files):
        key = f"'grown/' || job.id || '_{number}.jpg'"
        named = {**own, "key": key, "path": key, "name": f"'{number}.jpg'"}
        _insert(Rendition, behind, named, "", last)
        _insert(HostedFile, behind, named, "", last)
    _insert(Success, behind, own, "", last)
    _insert(Event, behind, {**own, "message_id": _new_id()}, "", last)
    told = f"(SELECT id AS event_id, job_id FROM {Event._meta.db_table} WHERE job_id > %s) event"  # noqa: S608
    _insert(Callback, told, {"job_id": "event.job_id", "event_id": "event.event_id"}, "", last)
    sent = f"(SELECT id FROM {Callback._meta.db_table} WHERE job_id > %s) callback"  # noqa: S608
    _insert(CallbackAttempt, sent, {"callback_id": "callback.id"}, "", last)


def age(jobs: int, days: int) -> None:
    """Let the last so many jobs have ended so many days ago."""
    last = Job.objects.order_by("-id").values_list("id")[jobs - 1][0]
    Job.objects.filter(id__gte=last).update(finished_at=timezone.now() - timedelta(days=days))


def _settle() -> None:
    """What the database does about so many new rows sooner or later, it does now."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if _on_postgres() else "PRAGMA wal_checkpoint(TRUNCATE)")
