"""A copy of all that must be kept, made beside the running server.

    TARGET/backup.json        what the copy holds; written last, so without it the copy is not whole
    TARGET/keys/              the keys that lie in the data folder
    TARGET/pixerve.sqlite3    the database; with PostgreSQL `pixerve.dump`, made by `pg_dump`
    TARGET/staging/{job}/     what unfinished jobs, and failed ones that can be replayed, need
    TARGET/serve/             hosted files

All of it shows one moment: that at which the database is read. Before it staging is kept as it is,
on all hosts, so that a job which ends afterwards takes nothing away that its unfinished copy needs.
What lies in the bucket that hosts share is copied from there.
"""

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from delivery.backends.errors import NoObject
from delivery.hosting import TEMPORARY_PREFIX
from jobs import bucket, holds, hosted, staging
from jobs.models import HostedFile, Job
from jobs.states import FINAL
from pixerve_site import dumps
from pixerve_site.dumps import Look
from pixerve_site.files import copy_files, locked
from pixerve_site.version import VERSION

MANIFEST = "backup.json"
KEYS = ("secret_key", "jwt.json", "credential_keys", "webhook_secret")
# The kernel's clock of files ticks every few milliseconds.
_CLOCK_NS = 10**9
_BATCH = 1000


class BackupError(Exception):
    """Why there is no backup; one line for a person."""


@dataclass(frozen=True)
class Manifest:
    """What a backup holds. `files` is None where hosted files were left out, `missing` counts jobs
    whose upload was not there, `database` is the file with the database."""

    version: str
    made_at: str
    keys: list[str]
    jobs: int
    missing: int
    files: int | None
    database: str = dumps.SQLITE

    def write(self, folder: Path) -> None:
        text = json.dumps(asdict(self), indent=2) + "\n"
        temporary = folder / f".{MANIFEST}"
        temporary.write_text(text, encoding="utf-8")
        os.sync()  # everything before it, in one go
        temporary.replace(folder / MANIFEST)
        os.sync()


def make(target: Path, *, with_files: bool = True) -> Manifest:
    """Copy this installation into `target`, which must be empty or not exist.

    Raises BackupError, DumpError, DeliveryError, OSError, sqlite3.Error, django.db.Error.
    """
    lock = Path(settings.PIXERVE.data_dir) / "run" / "backup"
    try:
        with locked(lock, wait=False):
            return _make(target, with_files)
    except BlockingIOError:
        raise BackupError("another backup is under way") from None


def _make(target: Path, with_files: bool) -> Manifest:
    _prepare(target)
    keys = _copy_keys(target / "keys")
    with holds.kept():
        moment = time.time_ns()
        with dumps.copied(target) as look:
            jobs, missing = _copy_staging(look, target / "staging")
            files = _copy_files(look, moment, target / "serve") if with_files else None
    made_at = datetime.fromtimestamp(moment // 10**9, UTC).isoformat()
    manifest = Manifest(VERSION, made_at, keys, jobs, missing, files, dumps.name())
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


def _copy_staging(look: Look, target: Path) -> tuple[int, int]:
    """Copy what jobs need; how many jobs, and how many of them without their upload."""
    ended = ", ".join(f"'{state}'" for state in FINAL)
    rows = look(
        f"SELECT uid FROM {Job._meta.db_table} WHERE state NOT IN ({ended}) OR has_source"  # noqa: S608
    )
    target.mkdir(mode=0o700)
    missing = 0
    for (uid,) in rows:
        name = str(uuid.UUID(str(uid)))
        if bucket.in_use():
            _copy_objects(f"{bucket.STAGING}/{name}", target / name)
        else:
            copy_files(staging.root() / name, target / name)
        missing += not (target / name / "source").exists()
    return len(rows), missing


def _copy_objects(folder: str, target: Path) -> None:
    with bucket.opened() as opened:
        for each in list(opened.entries(folder)):
            path = target / each.key.removeprefix(f"{folder}/")
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(NoObject):
                opened.fetch(each.key, path)


def _copy_files(look: Look, moment: int, target: Path) -> int:
    """Copy hosted files; how many."""
    target.mkdir()
    if bucket.in_use():
        return sum(_copy_hosted_object(path, target / path) for path in _hosted_paths(look))
    return _copy_hosted(look, moment, target)


def _hosted_paths(look: Look) -> Iterator[str]:
    query = f"""SELECT id, path FROM {HostedFile._meta.db_table}
                 WHERE id > %s AND sha256 <> '' ORDER BY id LIMIT {_BATCH}"""  # noqa: S608
    last = 0
    while rows := look(query, last):
        yield from (path for _, path in rows)
        last = rows[-1][0]


def _copy_hosted_object(path: str, target: Path) -> bool:
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(NoObject), bucket.opened() as opened:
        opened.fetch(hosted.key(path), target)
        return True
    return False


def _copy_hosted(look: Look, moment: int, target: Path) -> int:
    """What appeared later and has no row in the copy is left out: it may be private, and only its
    row says so."""
    query = f"SELECT 1 FROM {HostedFile._meta.db_table} WHERE path = %s"  # noqa: S608

    def keep(path: Path, status: os.stat_result) -> bool:
        if path.name.startswith(TEMPORARY_PREFIX):
            return False
        return bool(look(query, str(path))) or status.st_ctime_ns < moment - _CLOCK_NS

    return copy_files(Path(settings.PIXERVE.serve_dir), target, keep)
