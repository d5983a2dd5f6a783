"""Bring a backup back into an empty installation.

A marker is there from the first byte to the last: `serve` refuses to start beside it, and a restore
that was cut off is begun again. The database comes last; only a bucket is filled after it, as rows
say what its objects are.
"""

import json
import shutil
from pathlib import Path

from django.conf import settings

from delivery.backends.base import digest
from jobs import bucket, hosted, leases, staging
from jobs.models import HostedFile, Job
from jobs.states import State
from pixerve_site import dumps, first_run
from pixerve_site.backup import KEYS, MANIFEST, Manifest
from pixerve_site.files import copy_files, locked, regular_files
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
    if found.database != dumps.name():
        raise RestoreError(f"it holds a {found.database}; PIXERVE_DATABASE_URL says otherwise")
    return found


def bring_back(source: Path) -> Manifest:
    """Restore the backup in `source`. Raises RestoreError, DumpError, DeliveryError, OSError."""
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
    if dumps.is_there():
        raise RestoreError("there is a database already; restore into an empty one")
    if serve.is_dir() and any(serve.iterdir()):
        raise RestoreError(f"there are files in {serve}; restore into an empty folder")


def _bring_back(source: Path, manifest: Manifest) -> None:
    _marker().touch()
    for name in set(manifest.keys) & set(KEYS):
        shutil.copy2(source / "keys" / name, _data() / name)
    staging.root().mkdir(mode=0o700, exist_ok=True)
    if not bucket.in_use():
        copy_files(source / "staging", staging.root())
        if manifest.files is not None:
            Path(settings.PIXERVE.serve_dir).mkdir(parents=True, exist_ok=True)
            copy_files(source / "serve", Path(settings.PIXERVE.serve_dir))
    # PostgreSQL's was brought back whole, if a restore that was cut off came as far as that.
    if dumps.name() == dumps.SQLITE or not dumps.is_there():
        dumps.bring_back(source)
    first_run.migrate()
    if bucket.in_use():
        _fill_bucket(source)
    _put_back_what_was_under_way()
    _marker().unlink()


def _fill_bucket(source: Path) -> None:
    for path, _ in regular_files(source / "staging"):
        _put(source / "staging" / path, f"{bucket.STAGING}/{path}", "application/octet-stream")
    for path, _ in regular_files(source / "serve"):
        row = HostedFile.objects.filter(path=str(path)).first()
        if row is not None:  # who put a file there without a row did not put it into /files/
            _put(source / "serve" / path, hosted.key(str(path)), row.media_type)


def _put(path: Path, key: str, media_type: str) -> None:
    sha256 = digest(path).sha256
    with bucket.opened() as opened:
        opened.put(key, path, media_type=media_type, cache_control=None, sha256=sha256)


def _put_back_what_was_under_way() -> None:
    """Whoever worked on these jobs did so in another installation."""
    leased = Job.objects.filter(state=State.PROCESSING).exclude(owner="")
    leased.update(excused=True)
    for job in leased:
        leases.give_back(job)
