"""The database in a backup: all of it as it was at one moment, copied while others go on writing.

SQLite copies itself into a file. PostgreSQL is dumped by its own `pg_dump`, which reads the very
snapshot that `look` asks, too.
"""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from psycopg.conninfo import make_conninfo

from pixerve_site.database import OPTIONS

Rows = list[tuple[Any, ...]]
Look = Callable[..., Rows]
"""Asks that moment: a query with %s for each value, the values; all rows."""

SQLITE, POSTGRESQL = "pixerve.sqlite3", "pixerve.dump"


class DumpError(Exception):
    """Why the database was not copied, or not brought back; one line for a person."""


def name() -> str:
    """The file of a backup that holds a database like ours."""
    return POSTGRESQL if connection.vendor == "postgresql" else SQLITE


@contextmanager
def copied(folder: Path) -> Iterator[Look]:
    """Copy the database into a file of this folder; what is yielded asks the copied moment.

    Raises DumpError, sqlite3.Error, django.db.Error.
    """
    target = folder / name()
    target.touch(mode=0o600)
    with (_postgres if target.name == POSTGRESQL else _sqlite)(target) as look:
        yield look


@contextmanager
def _sqlite(target: Path) -> Iterator[Look]:
    with closing(sqlite3.connect(_file())) as database, closing(sqlite3.connect(target)) as copy:
        database.backup(copy)
        # Otherwise it would come with two more files.
        copy.execute("PRAGMA journal_mode=DELETE")

        def look(query: str, *values: Any) -> Rows:
            return copy.execute(query.replace("%s", "?"), values).fetchall()

        yield look


@contextmanager
def _postgres(target: Path) -> Iterator[Look]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        cursor.execute("SELECT pg_export_snapshot()")
        [[snapshot]] = cursor.fetchall()
        _run("pg_dump", "--format=custom", f"--snapshot={snapshot}", f"--file={target}")

        def look(query: str, *values: Any) -> Rows:
            cursor.execute(query, values)
            found: Rows = cursor.fetchall()
            return found

        yield look


def is_there() -> bool:
    """Whether there is a database of an installation."""
    if connection.vendor == "postgresql":
        return "jobs_job" in connection.introspection.table_names()
    return _file().exists()


def _file() -> Path:
    return Path(settings.PIXERVE.data_dir) / SQLITE


def bring_back(source: Path) -> None:
    """Restore the database from a backup's folder. Raises DumpError, OSError."""
    if connection.vendor == "postgresql":
        whole = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
        _run("pg_restore", *whole, str(source / POSTGRESQL))
        return
    for rest in ("-wal", "-shm"):  # of the database that a cut off restore had begun to use
        _file().with_name(SQLITE + rest).unlink(missing_ok=True)
    shutil.copy2(source / SQLITE, _file())


def _run(program: str, *arguments: str) -> None:
    """A program of PostgreSQL's on our database; no password is among its arguments."""
    path = shutil.which(program)
    if path is None:
        raise DumpError(f"{program} is not installed: it comes with PostgreSQL's client programs")
    ours = settings.DATABASES["default"]
    names = {"dbname": "NAME", "user": "USER", "host": "HOST", "port": "PORT"}
    reach = {each: ours[key] for each, key in names.items() if ours[key]}
    # The others are the driver's.
    reach |= {each: value for each, value in ours["OPTIONS"].items() if each in OPTIONS}
    done = subprocess.run(
        [path, f"--dbname={make_conninfo(**reach)}", *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"PGPASSWORD": ours["PASSWORD"]},
        text=True,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise DumpError(f"{program}: {said[0]}")
