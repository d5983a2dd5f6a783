"""What the first start makes: tables, an admin user, the daily schedule. Safe to repeat."""

import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import ProgrammingError, connection, transaction
from django.db.migrations.exceptions import MigrationSchemaMissing
from django_q.models import Schedule

from jobs import locks
from jobs.retention import DAILY
from pixerve_site.files import locked

SCHEDULE_NAME = "pixerve daily clean-up"
PASSWORD_FILE = "admin_password"  # noqa: S105 - a file's name
HALF_WRITTEN_AGE_S = 60
_HALF_WRITTEN = re.compile(r"\.[a-z_]+(\.json)?\.[0-9a-f]{16}")


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


def remove_half_written() -> None:
    """Remove what a start that was killed left of a secret's file."""
    before = time.time() - HALF_WRITTEN_AGE_S
    for path in Path(settings.PIXERVE.data_dir).glob(".*"):
        if _HALF_WRITTEN.fullmatch(path.name) and path.stat().st_mtime < before:
            path.unlink(missing_ok=True)


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
    """The daily clean-up, once for all hosts."""
    Schedule.objects.get_or_create(
        name=SCHEDULE_NAME, defaults={"func": DAILY, "schedule_type": Schedule.DAILY}
    )


def ensure_admin(tell: Callable[[NewAdmin], None]) -> NewAdmin | None:
    """Make an admin from DJANGO_SUPERUSER_*, else with a random password; None if there is one.

    `tell` is called before it is committed: of a user who is there somebody knows the password.
    """
    if User.objects.filter(is_superuser=True).exists():
        return None
    username = os.environ.get("DJANGO_SUPERUSER_USERNAME", "admin")
    given = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
    password = given or secrets.token_urlsafe(12)
    mail = os.environ.get("DJANGO_SUPERUSER_EMAIL", "")
    made = NewAdmin(username, None if given else password)
    with transaction.atomic():
        User.objects.create_superuser(username, mail, password)
        tell(made)
    return made


def write_secret(name: str, value: str) -> Path:
    """Put a secret into a 0600 file of the data folder, whole or not at all; returns its path."""
    path = Path(settings.PIXERVE.data_dir) / name
    temporary = path.with_name(f".{name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(value + "\n")
    temporary.replace(path)
    return path
