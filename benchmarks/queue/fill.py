"""Jobs that the database makes by itself: of a million, Python would take minutes.

What is not named of a row is as in the first one of its table, so there must be a job already. In
the database of a server:

    manage.py shell -c "from benchmarks.queue.fill import grow; grow(1000000)"
"""

import re
from collections.abc import Mapping

from django.db import connection
from django.db.models import Max, Model

from jobs.models import Event, HostedFile, Job, Reference, Rendition, Success

AT_ONCE = 100_000
_PERCENT = re.compile("%(?!s)")
_NUMBERS = """WITH RECURSIVE numbers(n) AS (
    SELECT %s UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < %s)"""


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


def grow(count: int) -> None:
    """Bring the tables of a server to this many jobs: those that are added completed, each with a
    file, its records and its event. One job with a hosted file must be there."""
    there = Job.objects.count()
    for first in range(there, count, AT_ONCE):
        added = min(AT_ONCE, count - first)
        last = Job.objects.aggregate(last=Max("id"))["last"]
        fill(first, added, "completed", max(1, count // 100))
        _add_records(last)
    _settle()


def _add_records(last: int) -> None:
    """What a completed job leaves, for the jobs behind this one."""
    key = "'grown/' || job.id || '.jpg'"
    own = {"job_id": "job.id", "subject": "job.subject", "reference_id": "job.reference_id"}
    rows: dict[type[Model], dict[str, str]] = {
        Rendition: {"key": key},
        HostedFile: {"path": key},
        Success: {},
        Event: {"message_id": _new_id()},
    }
    for model, more in rows.items():
        behind = f"(SELECT * FROM {Job._meta.db_table} WHERE id > %s) job"  # noqa: S608 - ours
        _insert(model, behind, {**own, **more}, "", last)


def _settle() -> None:
    """What the database does about so many new rows sooner or later, it does now."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if _on_postgres() else "PRAGMA wal_checkpoint(TRUNCATE)")
