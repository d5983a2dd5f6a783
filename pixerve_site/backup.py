"""A copy of all that must be kept, made beside the running server.

    TARGET/backup.json        what the copy holds; written last, so without it the copy is not whole
    TARGET/keys/              the keys that lie in the data folder
    TARGET/pixerve.sqlite3    the database
    TARGET/staging/{job}/     what unfinished jobs, and failed ones that can be replayed, need
    TARGET/serve/             hosted files

All of it shows one moment. For that moment nobody can write to the database: a snapshot of it is
opened, and every file in staging gets a second name (`staging/.backup-…`), so that a job which ends
later takes away only the first. Bytes are copied afterwards, from the snapshot and from the names.
"""

import json
import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from delivery.hosting import TEMPORARY_PREFIX
from jobs import staging
from jobs.models import HostedFile, Job
from jobs.states import FINAL
from pixerve_site.files import copy_files, link_files, locked
from pixerve_site.version import VERSION

MANIFEST = "backup.json"
DATABASE = "pixerve.sqlite3"
KEYS = ("secret_key", "jwt.json", "credential_keys", "webhook_secret")
_NAMES_PREFIX = ".backup-"
_WRITE_LOCK_S = 60.0
# The kernel's clock of files ticks every few milliseconds.
_CLOCK_NS = 10**9


class BackupError(Exception):
    """Why there is no backup; one line for a person."""


@dataclass(frozen=True)
class Manifest:
    """What a backup holds. `files` is None where hosted files were left out, `missing` counts jobs
    whose upload was not there."""

    version: str
    made_at: str
    keys: list[str]
    jobs: int
    missing: int
    files: int | None

    def write(self, folder: Path) -> None:
        text = json.dumps(asdict(self), indent=2) + "\n"
        temporary = folder / f".{MANIFEST}"
        temporary.write_text(text, encoding="utf-8")
        os.sync()  # everything before it, in one go
        temporary.replace(folder / MANIFEST)
        os.sync()


def make(target: Path, *, with_files: bool = True) -> Manifest:
    """Copy this installation into `target`, which must be empty or not exist. Raises BackupError,
    OSError, sqlite3.Error."""
    try:
        with locked(_lock_file(), wait=False):
            forget_names()
            return _make(target, with_files)
    except BlockingIOError:
        raise BackupError("another backup is under way") from None


def forget_names() -> None:
    """Remove second names that a killed backup left; call it with the lock held."""
    for left in staging.root().glob(f"{_NAMES_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)


def sweep() -> None:
    """The same, unless a backup is under way."""
    with suppress(BlockingIOError), locked(_lock_file(), wait=False):
        forget_names()


def _lock_file() -> Path:
    return Path(settings.PIXERVE.data_dir) / "run" / "backup"


def _make(target: Path, with_files: bool) -> Manifest:
    _prepare(target)
    keys = _copy_keys(target / "keys")
    names = staging.root() / f"{_NAMES_PREFIX}{uuid.uuid4().hex}"
    try:
        moment = _copy_database(target / DATABASE, names)
        with closing(_open(target / DATABASE)) as copy:
            jobs, missing = _copy_staging(copy, names, target / "staging")
            files = _copy_hosted(copy, moment, target / "serve") if with_files else None
    finally:
        shutil.rmtree(names, ignore_errors=True)
    made_at = datetime.fromtimestamp(moment // 10**9, UTC).isoformat()
    manifest = Manifest(VERSION, made_at, keys, jobs, missing, files)
    manifest.write(target)
    return manifest


def _prepare(target: Path) -> None:
    for inner in (settings.PIXERVE.data_dir, settings.PIXERVE.serve_dir):
        if target.resolve().is_relative_to(inner):
            raise BackupError(f"{target} lies in {inner}, which is to be copied")
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise BackupError(f"{target} is not empty")
    target.chmod(0o700)


def _copy_keys(target: Path) -> list[str]:
    target.mkdir(mode=0o700)
    data = Path(settings.PIXERVE.data_dir)
    found = [name for name in KEYS if (data / name).exists()]
    for name in found:
        shutil.copy2(data / name, target / name)
    return found


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=_WRITE_LOCK_S)


def _copy_database(target: Path, names: Path) -> int:
    """Copy the database, and name staging, both as they are at one moment: Unix nanoseconds."""
    live = Path(settings.DATABASES["default"]["NAME"])
    target.touch(mode=0o600)
    with closing(_open(live)) as snapshot, closing(_open(target)) as copy:
        with _no_writers(live):
            snapshot.execute("BEGIN")
            snapshot.execute("SELECT count(*) FROM sqlite_master").fetchone()
            moment = time.time_ns()
            names.mkdir(mode=0o700, parents=True)
            for uid, _ in staging.folders():
                link_files(staging.folder(uid), names / str(uid))
        snapshot.backup(copy)
        # Otherwise it would come with two more files.
        copy.execute("PRAGMA journal_mode=DELETE")
    return moment


@contextmanager
def _no_writers(path: Path) -> Iterator[None]:
    """Nobody writes to the database during a `with`, so no job begins or ends."""
    with closing(_open(path)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        yield
        writer.execute("ROLLBACK")


def _copy_staging(copy: sqlite3.Connection, names: Path, target: Path) -> tuple[int, int]:
    """Copy what jobs need; how many jobs, and how many of them without their upload."""
    ended = ", ".join(f"'{state}'" for state in FINAL)
    rows = copy.execute(
        f"SELECT uid FROM {Job._meta.db_table} WHERE state NOT IN ({ended}) OR has_source"  # noqa: S608
    ).fetchall()
    target.mkdir(mode=0o700)
    missing = 0
    for (uid,) in rows:
        name = str(uuid.UUID(uid))
        copy_files(names / name, target / name)
        missing += not (target / name / "source").exists()
    return len(rows), missing


def _copy_hosted(copy: sqlite3.Connection, moment: int, target: Path) -> int:
    """Copy hosted files; how many.

    What appeared later and has no row in the copy is left out: it may be private, and only its row
    says so.
    """
    query = f"SELECT 1 FROM {HostedFile._meta.db_table} WHERE path = ?"  # noqa: S608

    def keep(path: Path, status: os.stat_result) -> bool:
        if path.name.startswith(TEMPORARY_PREFIX):
            return False
        known = copy.execute(query, [str(path)]).fetchone() is not None
        return known or status.st_ctime_ns < moment - _CLOCK_NS

    target.mkdir()
    return copy_files(Path(settings.PIXERVE.serve_dir), target, keep)
