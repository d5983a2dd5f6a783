"""Bytes on their way: one folder per job below `{data_dir}/staging`.

    staging/{uid}/source     the upload, synced to disk before it is acknowledged
    staging/{uid}/out.{n}/   renditions of the n-th claim, until all are delivered

The folder is made before the row and removed after it ends, so what a kill leaves behind is a
folder without a live row; `jobs.retention` sweeps those.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from encoders.sniff import SNIFF_BYTES, sniff
from jobs.errors import BadRequest, PayloadTooLarge, Unavailable, UnsupportedPicture

_FULL = {errno.ENOSPC, errno.EDQUOT}
RETRY_AFTER_S = 60


def root() -> Path:
    """The staging folder of this installation."""
    return Path(settings.PIXERVE.data_dir) / "staging"


def folder(uid: uuid.UUID) -> Path:
    return root() / str(uid)


def source_path(uid: uuid.UUID) -> Path:
    return folder(uid) / "source"


def out_dir(uid: uuid.UUID, fence: int) -> Path:
    """Where one claim of a job puts its renditions. A former holder that does not know yet that its
    lease is lost writes to a folder of its own."""
    return folder(uid) / f"out.{fence}"


def discard(uid: uuid.UUID) -> None:
    """Remove the folder of a job that needs it no more; none is fine.

    While staging is kept it stays, and is swept later. Call it after the commit: whoever keeps
    staging first and reads the job table then finds the folder of each job that needs one.
    """
    if not _is_kept():
        _remove(uid)


def _remove(uid: uuid.UUID) -> None:
    shutil.rmtree(folder(uid), ignore_errors=True)


@contextmanager
def kept() -> Iterator[None]:
    """No job's folder is removed for the length of a `with`, by any process of this data folder.

    A file with a lock on it says so; the lock of a process that is killed goes with it.
    """
    path = _keeper()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(descriptor, 0o644)  # the server's user must see it, whoever makes the backup
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _keeper() -> Path:
    return Path(settings.PIXERVE.data_dir) / "run" / "keep-staging"


def _is_kept() -> bool:
    try:
        descriptor = os.open(_keeper(), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def keep_for_replay(uid: uuid.UUID, last_fence: int, made_by: int = 0) -> None:
    """Remove what claims up to `last_fence` produced, but what the claim `made_by` made, which is
    to be delivered; keep what was uploaded."""
    for produced in folder(uid).glob("out.*"):
        number = int(produced.suffix[1:])
        if number <= last_fence and number != made_by:
            shutil.rmtree(produced, ignore_errors=True)


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


def free_bytes() -> int:
    """Bytes left for uploads on staging's file system."""
    present = root() if root().exists() else Path(settings.PIXERVE.data_dir)
    return shutil.disk_usage(present).free


def _no_room() -> Unavailable:
    return Unavailable(
        "staging_full", "there is no room for uploads just now", retry_after=RETRY_AFTER_S
    )


def require_room(promised: int = 0) -> None:
    """Raises Unavailable where less room is left than `PIXERVE_READY_FREE_BYTES`, beside what is
    `promised`, in bytes.

    For an upload before its body is read: the jobs that were accepted need what is left, and the
    database beside them stops at a disk that is really full.
    """
    if free_bytes() - promised < settings.PIXERVE.ready_free_bytes:
        raise _no_room()


@dataclass(frozen=True)
class Staged:
    """A finished upload, durable on disk, not yet a job."""

    uid: uuid.UUID
    upload_name: str
    sha256: str
    size: int
    source_format: str


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def out_of_space(error: OSError) -> Unavailable | None:
    """The refusal that a full disk becomes; None where `error` is something else."""
    if error.errno not in _FULL:
        return None
    return _no_room()


class Incoming:
    """One upload while it streams in: written, hashed and sniffed in a single pass.

    `write` and `finish` raise PayloadTooLarge, UnsupportedPicture, BadRequest or Unavailable;
    whoever gets an error calls `abort`.
    """

    def __init__(self, upload_name: str, *, limit: int) -> None:
        self.uid = uuid.uuid4()
        self.upload_name = upload_name
        self._limit = limit
        self._hash = hashlib.sha256()
        self._head = b""
        self._size = 0
        self._stream = self._open()

    def _open(self) -> BinaryIO:
        try:
            folder(self.uid).mkdir(mode=0o700, parents=True)
            return source_path(self.uid).open("xb", buffering=0)
        except OSError as error:
            _remove(self.uid)
            raise out_of_space(error) or error from None

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the upload."""
        self._size += len(chunk)
        if self._size > self._limit:
            raise PayloadTooLarge(
                "file_too_large", f"a file may have at most {self._limit} bytes", field="file"
            )
        if len(self._head) < SNIFF_BYTES:
            self._head += chunk[: SNIFF_BYTES - len(self._head)]
            if len(self._head) == SNIFF_BYTES:
                self._format()
        self._hash.update(chunk)
        try:
            self._write_all(chunk)
        except OSError as error:
            raise out_of_space(error) or error from None

    def _write_all(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._stream.write(rest) :]

    def _format(self) -> str:
        if not self._head:
            raise BadRequest("empty_file", "the file is empty", field="file")
        found = sniff(self._head)
        if found is None:
            raise UnsupportedPicture(
                "unsupported_type",
                "the bytes are not a JPEG, PNG, WebP, AVIF, HEIC, GIF or TIFF picture",
                field="file",
            )
        return found

    def finish(self) -> Staged:
        """Sync to disk; from here on the upload survives a power cut."""
        source_format = self._format()
        try:
            os.fsync(self._stream.fileno())
            self._stream.close()
            _sync_folder(folder(self.uid))
            _sync_folder(root())
        except OSError as error:
            raise out_of_space(error) or error from None
        return Staged(
            uid=self.uid,
            upload_name=self.upload_name,
            sha256=self._hash.hexdigest(),
            size=self._size,
            source_format=source_format,
        )

    def abort(self) -> None:
        """Leave nothing behind."""
        self._stream.close()
        _remove(self.uid)
