"""What the first start makes: tables, an admin user, the daily schedule. Safe to repeat."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import ProgrammingError, connection
from django.db.migrations.exceptions import MigrationSchemaMissing
from django_q.models import Schedule

from jobs import locks
from jobs.retention import DAILY
from pixerve_site.files import locked

SCHEDULE_NAME = "pixerve daily clean-up"
SWEEP = "jobs.bucket_sweep.sweep"
SWEEP_NAME = "pixerve bucket sweep"
SWEEP_EVERY_MIN = 4
PASSWORD_FILE = "admin_password"  # noqa: S105 - a file's name


@dataclass(frozen=True)
class NewAdmin:
    """The admin user that was just made, and the password if it was made too."""

    username: str
    password: str | None = field(repr=False)


@contextmanager
def alone() -> Iterator[None]:
    """Who shares a data folder or a database makes what is missing one after the other."""
    lock = Path(settings.PIXERVE.data_dir) / "run" / "start"
    with locked(lock, wait=True), locks.alone(locks.Lock.START):
        yield


class MayNotMakeTables(Exception):
    """The database's role lacks the right; one line for a person."""


def migrate() -> None:
    """Bring the database up to this version; a new SQLite file is its owner's alone. Raises
    MayNotMakeTables, OperationalError."""
    if connection.vendor == "sqlite":
        # Whoever can read it has the sessions of everybody. -wal and -shm get the same mode.
        Path(str(connection.settings_dict["NAME"])).touch(mode=0o600)
    try:
        call_command("migrate", verbosity=0, interactive=False)
    except (MigrationSchemaMissing, ProgrammingError) as error:
        reason = _refusal(error)
        if reason is None:
            raise
        raise MayNotMakeTables(
            f"PostgreSQL does not let this role make tables: {reason}. Make it the owner:"
            " ALTER DATABASE … OWNER TO …"
        ) from None


def _refusal(error: BaseException | None) -> str | None:
    """What PostgreSQL said, if this goes back to a right that is missing."""
    while error is not None:
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            return error.diag.message_primary
        error = error.__cause__ or error.__context__
    return None


def ensure_schedule() -> None:
    """The daily clean-up, once; with a bucket its sweep, too, which all hosts share."""
    Schedule.objects.get_or_create(
        name=SCHEDULE_NAME, defaults={"func": DAILY, "schedule_type": Schedule.DAILY}
    )
    if settings.PIXERVE.staging is not None:
        every = {"schedule_type": Schedule.MINUTES, "minutes": SWEEP_EVERY_MIN}
        Schedule.objects.update_or_create(name=SWEEP_NAME, defaults={"func": SWEEP, **every})


def ensure_admin() -> NewAdmin | None:
    """Make an admin from DJANGO_SUPERUSER_*, else with a random password; None if there is one."""
    if User.objects.filter(is_superuser=True).exists():
        return None
    username = os.environ.get("DJANGO_SUPERUSER_USERNAME", "admin")
    given = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
    password = given or secrets.token_urlsafe(12)
    User.objects.create_superuser(username, os.environ.get("DJANGO_SUPERUSER_EMAIL", ""), password)
    return NewAdmin(username, None if given else password)


def write_secret(name: str, value: str) -> Path:
    """Put a secret into a 0600 file of the data folder, whole or not at all; returns its path."""
    path = Path(settings.PIXERVE.data_dir) / name
    temporary = path.with_name(f".{name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(value + "\n")
    temporary.replace(path)
    return path
