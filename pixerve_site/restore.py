"""Bring a backup back into an empty installation.

A marker is there from the first byte to the last: `serve` refuses to start beside it, and a restore
that was cut off is begun again. The database comes last.
"""

import json
import shutil
from pathlib import Path

from django.conf import settings

from jobs import leases, staging
from jobs.models import Job
from jobs.states import State
from pixerve_site import first_run
from pixerve_site.backup import DATABASE, KEYS, MANIFEST, Manifest
from pixerve_site.files import copy_files, locked
from pixerve_site.version import VERSION

CUT_OFF = "a restore was cut off here; run it again, or empty the data and the serve folder"


class RestoreError(Exception):
    """Why nothing was restored; one line for a person."""


def is_cut_off() -> bool:
    """Whether a restore began in this installation and did not end."""
    return _marker().exists()


def read_manifest(source: Path) -> Manifest:
    """What a backup holds. Raises RestoreError where it is not whole, or not for this version."""
    try:
        text = (source / MANIFEST).read_text(encoding="utf-8")
        found = Manifest(**json.loads(text))
    except (OSError, ValueError, TypeError):
        raise RestoreError(f"{source} is no whole backup: there is no good {MANIFEST}") from None
    if _numbers(found.version) > _numbers(VERSION):
        raise RestoreError(f"made by version {found.version}, which is newer than this ({VERSION})")
    return found


def bring_back(source: Path) -> Manifest:
    """Restore the backup in `source`. Raises RestoreError, OSError."""
    manifest = read_manifest(source)
    try:
        with locked(_data() / "serve.lock", wait=False), locked(_data() / "run/start", wait=False):
            _require_empty()
            _bring_back(source, manifest)
    except BlockingIOError:
        raise RestoreError(f"Pixerve is running on {_data()}; end it first") from None
    return manifest


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _data() -> Path:
    return Path(settings.PIXERVE.data_dir)


def _marker() -> Path:
    return _data() / "run" / "restoring"


def _require_empty() -> None:
    if is_cut_off():
        return
    serve = Path(settings.PIXERVE.serve_dir)
    if (_data() / DATABASE).exists():
        raise RestoreError(f"there is a database in {_data()}; restore into an empty folder")
    if serve.is_dir() and any(serve.iterdir()):
        raise RestoreError(f"there are files in {serve}; restore into an empty folder")


def _bring_back(source: Path, manifest: Manifest) -> None:
    _marker().touch()
    for name in set(manifest.keys) & set(KEYS):
        shutil.copy2(source / "keys" / name, _data() / name)
    staging.root().mkdir(mode=0o700, exist_ok=True)
    copy_files(source / "staging", staging.root())
    if manifest.files is not None:
        Path(settings.PIXERVE.serve_dir).mkdir(parents=True, exist_ok=True)
        copy_files(source / "serve", Path(settings.PIXERVE.serve_dir))
    for rest in ("-wal", "-shm"):  # of the database that a cut off restore had begun to use
        (_data() / (DATABASE + rest)).unlink(missing_ok=True)
    shutil.copy2(source / DATABASE, _data() / DATABASE)
    first_run.migrate()
    _put_back_what_was_under_way()
    _marker().unlink()


def _put_back_what_was_under_way() -> None:
    """Whoever worked on these jobs did so in another installation."""
    leased = Job.objects.filter(state=State.PROCESSING).exclude(owner="")
    leased.update(excused=True)
    for job in leased:
        leases.give_back(job)
