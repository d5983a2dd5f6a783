"""Bytes on their way: one folder per job below `{data_dir}/staging`.

    staging/{uid}/source     the upload, durable before it is acknowledged
    staging/{uid}/out.{n}/   renditions of the n-th claim, until all are delivered

The folder is made before the row and removed after it ends, so what a kill leaves behind is a
folder without a live row; `jobs.sweeping` removes those. While an upload comes in, a lock on its
folder says so (`jobs.holds`), which the kernel drops with the process.

With `PIXERVE_STAGING_URL` the same lies in the bucket that all hosts share (`jobs.bucket`), and the
folder here is a cache that may vanish: whoever needs a file asks for it with `source` or `bring`.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path

from django.conf import settings
from django.db import Error as DatabaseError

from delivery.carrier import Parcel, Unprepared
from delivery.deadline import beside
from delivery.errors import DeliveryError
from encoders.plan import Rendition
from jobs import arrivals, bucket
from jobs.errors import Unavailable
from jobs.holds import is_kept
from jobs.models import Rendition as RenditionRow

RETRY_AFTER_S = 60
AWAY_RETRY_AFTER_S = 5
_BYTES = "application/octet-stream"


def root() -> Path:
    """The staging folder of this installation."""
    return _root(settings.PIXERVE.data_dir)


@cache
def _root(data_dir: Path) -> Path:
    """Every job asks several times, and taking a path apart is not free."""
    return data_dir / "staging"


def folder(uid: uuid.UUID) -> Path:
    return root() / str(uid)


def source_path(uid: uuid.UUID) -> Path:
    return folder(uid) / "source"


def out_dir(uid: uuid.UUID, fence: int) -> Path:
    """Where one claim of a job puts its renditions. A former holder that does not know yet that its
    lease is lost writes to a folder of its own."""
    return folder(uid) / f"out.{fence}"


def discard(uid: uuid.UUID) -> None:
    """Remove all of a job that needs it no more; nothing is fine. What a bucket that is away does
    not give up now is swept later."""
    discard_here(uid)
    discard_there(uid)


def discard_there(uid: uuid.UUID, choose: Callable[[str], bool] = lambda _: True) -> None:
    """Of a job's objects remove those whose part right below its folder is chosen; what cannot be
    removed now is swept later, and while staging is kept it stays."""
    if not bucket.in_use() or bucket.rests() or is_kept():
        return
    with suppress(DeliveryError), bucket.opened() as opened:
        below = len(_key(uid)) + 1
        keys = [each.key for each in opened.entries(_key(uid))]
        opened.delete_all(key for key in keys if choose(key[below:].partition("/")[0]))


def discard_refused(uid: uuid.UUID) -> None:
    """Remove an upload that becomes no job."""
    discard(uid)
    if bucket.in_use():
        with suppress(DatabaseError):  # then the clerk finds it
            arrivals.withdraw(uid)


def discard_here(uid: uuid.UUID) -> None:
    """Remove the folder on this host of a job that needs it no more.

    While staging is kept it stays, and is swept later. Call it after the commit.
    """
    if bucket.in_use() or not is_kept():
        remove_here(uid)


def remove_here(uid: uuid.UUID) -> None:
    """Remove a folder on this host that no job ever needed."""
    shutil.rmtree(folder(uid), ignore_errors=True)


def keep_for_replay(uid: uuid.UUID, last_fence: int, made_by: int = 0) -> None:
    """Remove what claims up to `last_fence` produced, but what the claim `made_by` made, which is
    to be delivered; keep what was uploaded."""

    def is_useless(produced: str) -> bool:
        number = claim_of(produced)
        return number is not None and number <= last_fence and number != made_by

    for produced in folder(uid).glob("out.*"):
        if is_useless(produced.name):
            shutil.rmtree(produced, ignore_errors=True)
    discard_there(uid, is_useless)


def claim_of(produced: str) -> int | None:
    """The claim that `out.{n}` belongs to; None for other names."""
    word, _, number = produced.partition(".")
    return int(number) if word == "out" and number.isdigit() else None


def _key(uid: uuid.UUID, *rest: str) -> str:
    return "/".join((bucket.STAGING, str(uid), *rest))


# --- files of a job, for whoever works on it


def keep_source(uid: uuid.UUID, sha256: str) -> None:
    """Let an upload, which lies here, survive the loss of this host: where there is a bucket, put
    it there, announced before (`jobs.arrivals`). Raises Unavailable."""
    if bucket.in_use():
        arrivals.announce(uid)
        with _refusing():
            beside(lambda: _put_source(uid, sha256), lambda: _beat(uid), arrivals.BEAT_S)


def _put_source(uid: uuid.UUID, sha256: str) -> None:
    key, path = _key(uid, "source"), source_path(uid)
    with bucket.opened() as opened:
        opened.put(key, path, media_type=_BYTES, cache_control=None, sha256=sha256)


def _beat(uid: uuid.UUID) -> None:
    if not arrivals.beat(uid):
        raise away()


_OF_ONE_FILE = frozenset({"no_object", "checksum_mismatch", "path_refused"})


class Away(Exception):
    """The bucket does not answer. It is no fault of the job, which waits for it."""


@contextmanager
def patient() -> Iterator[None]:
    """Raises Away for trouble with the bucket as such, DeliveryError for that with one object."""
    try:
        yield
    except DeliveryError as error:
        if not bucket.in_use() or error.code in _OF_ONE_FILE:
            raise
        raise Away(str(error)) from None


def source(uid: uuid.UUID, sha256: str, beat: Callable[[], None]) -> Path:
    """The upload as a file of this host, brought here if need be; `beat` is called meanwhile.

    Raises Away, DeliveryError (`no_object` where it is gone).
    """
    path = source_path(uid)
    if bucket.in_use() and not _is_here(path, sha256):
        with patient():
            beside(lambda: _fetch(_key(uid, "source"), path, sha256), beat)
    return path


def _is_here(path: Path, sha256: str) -> bool:
    """Whether a file survived in the cache; it was never synced to disk."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _fetch(key: str, path: Path, sha256: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with bucket.opened() as opened:
        opened.fetch(key, path, sha256=sha256)


def keep_made(
    uid: uuid.UUID, fence: int, made: Iterable[Rendition], beat: Callable[[], None]
) -> None:
    """Let other hosts deliver what a claim made. Raises Away, DeliveryError."""
    if bucket.in_use():
        parcels = [
            _parcel(_key(uid, f"out.{fence}", each.name), out_dir(uid, fence) / each.name, each)
            for each in made
        ]
        with patient():
            bucket.put_all(parcels, beat)


def _parcel(key: str, path: Path, made: Rendition) -> Parcel:
    return Parcel(0, bucket.destination(), key, path, made.bytes, made.sha256, _BYTES)


def has_made(uid: uuid.UUID, fence: int, names: Iterable[str]) -> bool:
    """Whether all these renditions of a claim are kept. Raises Away."""
    here = out_dir(uid, fence)
    if not bucket.in_use():
        return all((here / name).is_file() for name in names)
    folder_key = _key(uid, f"out.{fence}")
    with patient(), bucket.opened() as opened:
        there = {each.key for each in opened.entries(folder_key)}
    return all(f"{folder_key}/{name}" in there for name in names)


def bring(uid: uuid.UUID, fence: int, name: str, sha256: str) -> None:
    """Make sure that a rendition lies in `out_dir`. Raises Unprepared."""
    path = out_dir(uid, fence) / name
    if not bucket.in_use():
        if not path.is_file():
            raise Unprepared("staging lost the file", gone=True)
        return
    if _is_here(path, sha256):
        return
    try:
        _fetch(_key(uid, f"out.{fence}", name), path, sha256)
    except (DeliveryError, OSError) as error:
        gone = isinstance(error, DeliveryError) and error.code == "no_object"
        raise Unprepared(f"staging does not give the file: {error}", gone=gone) from None


def bring_all(
    uid: uuid.UUID,
    fence: int,
    made: Iterable[Rendition | RenditionRow],
    beat: Callable[[], None],
) -> None:
    """Make sure that all these lie in `out_dir`; `beat` is called meanwhile. Raises Away,
    DeliveryError."""
    if bucket.in_use():
        for each in made:
            with patient():
                beside(partial(bring, uid, fence, each.name, each.sha256), beat)


def has_source(uid: uuid.UUID) -> bool:
    """Whether the upload is kept. Raises Unavailable."""
    if not bucket.in_use():
        return source_path(uid).exists()
    with _refusing(), bucket.opened() as opened:
        return opened.exists(_key(uid, "source"))


# --- what there is


def folders() -> Iterator[tuple[uuid.UUID, float]]:
    """Every job folder there is, with the time (Unix seconds) it was last changed."""
    if not root().is_dir():
        return
    with os.scandir(root()) as entries:
        for entry in entries:
            try:
                yield uuid.UUID(entry.name), entry.stat().st_mtime
            except (ValueError, FileNotFoundError):
                continue


def parts_there() -> dict[uuid.UUID, set[str]]:
    """The same of the bucket, with what lies right below each: `source`, `out.{n}`. Raises
    DeliveryError."""
    found: dict[uuid.UUID, set[str]] = {}
    with bucket.opened() as opened:
        for each in opened.entries(bucket.STAGING):
            with suppress(ValueError, IndexError):
                _, name, part = each.key.split("/")[:3]
                found.setdefault(uuid.UUID(name), set()).add(part)
    return found


def free_bytes() -> int:
    """Bytes left for uploads on staging's file system."""
    present = root() if root().exists() else Path(settings.PIXERVE.data_dir)
    return shutil.disk_usage(present).free


def no_room() -> Unavailable:
    """The refusal where uploads find no place."""
    return Unavailable(
        "staging_full", "there is no room for uploads just now", retry_after=RETRY_AFTER_S
    )


def away() -> Unavailable:
    """The refusal where an upload cannot be kept."""
    return Unavailable(
        "staging_unavailable", "uploads cannot be kept just now", retry_after=AWAY_RETRY_AFTER_S
    )


@contextmanager
def _refusing() -> Iterator[None]:
    """Trouble with the bucket as a requester hears of it."""
    try:
        yield
    except DeliveryError as error:
        raise no_room() if error.code == "store_full" else away() from None


def require_room(promised: int = 0) -> None:
    """Raises Unavailable where less room is left than `PIXERVE_READY_FREE_BYTES`, beside what is
    `promised`, in bytes.

    For an upload before its body is read: the jobs that were accepted need what is left, and the
    database beside them stops at a disk that is really full. The same for a bucket that is away.
    """
    if bucket.in_use() and bucket.rests():
        raise away()
    if free_bytes() - promised < settings.PIXERVE.ready_free_bytes:
        raise no_room()
