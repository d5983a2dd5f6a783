"""Giving files below `/files/`, from the serve folder or from the bucket of all hosts."""

import hashlib
import mimetypes
from io import BufferedReader
from typing import TYPE_CHECKING, Protocol

from django.conf import settings

from delivery.carrier import DEFAULT_CACHE_CONTROL
from delivery.errors import DeliveryError, HostingFailed, NotHosted
from delivery.hosting import HostedHandle
from encoders.sniff import MEDIA_TYPES, SNIFF_BYTES, sniff
from jobs import bucket, hosted, names
from jobs.models import HostedFile, Job
from jobs.states import IN_FLIGHT

if TYPE_CHECKING:
    from delivery.backends.s3_bucket import Body, Bucket

CHUNK = 256 * 1024
LINK_S = 300


class Changed(Exception):
    """The file is another one by now, and so is `row`: whatever was read from it counts no more."""


class Reader(Protocol):
    """Some bytes of a file, for FileResponse."""

    def read(self, size: int = CHUNK) -> bytes:
        """The next bytes."""

    def close(self) -> None:
        """Nobody reads on."""


class Found(Protocol):
    """A hosted file that is there: its row, and how to get at its bytes. Close it."""

    @property
    def row(self) -> HostedFile:
        """The row, which is right about the bytes."""

    def read(self, first: int, length: int) -> Reader:
        """So many bytes from `first` on; closing the reader closes all. Raises Changed."""

    def link(self) -> str | None:
        """Where else to fetch it from, if that is how it is done here."""

    def close(self) -> None:
        """Nobody reads."""


def find(path: str) -> Found:
    """The file at a path. Raises NotHosted, DeliveryError, OSError."""
    return InBucket(path) if bucket.in_use() else InFolder(path)


class InFolder:
    """A file of the serve folder, opened."""

    def __init__(self, path: str) -> None:
        self._handle = hosted.root().open(path)
        try:
            self.row = _row(path, self._handle)
        except BaseException:
            self._handle.close()
            raise

    def read(self, first: int, length: int) -> "Part":
        return Part(self._handle.file, first, length)

    def link(self) -> None:
        return None

    def close(self) -> None:
        self._handle.close()


class Part:
    """A window onto a file."""

    def __init__(self, file: BufferedReader, first: int, length: int) -> None:
        file.seek(first)
        self._file = file
        self._left = length

    def read(self, size: int = CHUNK) -> bytes:
        chunk = self._file.read(min(size, self._left))
        self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        self._file.close()


def _row(path: str, handle: HostedHandle) -> HostedFile:
    """The row of the file as it lies there; made anew where the file is another than the row's.

    That happens to files put there by hand or from a backup, and for a moment between the rename
    and the commit of a newer job.
    """
    row = HostedFile.objects.filter(path=path).first()
    if row is not None and (row.bytes, row.mtime_ns) == (handle.size, handle.mtime_ns):
        return row
    fresh = {
        "sha256": _checksum(handle.file),
        "bytes": handle.size,
        "mtime_ns": handle.mtime_ns,
        "media_type": _media_type(handle.file, path),
    }
    if (row is None or not row.sha256) and is_under_way(path):
        # Its job will say that it is there, or remove it.
        return HostedFile(path=path, private=row is not None and row.private, **fresh)
    if row is None:
        # Kept, so that the next reader need not hash the file again.
        return HostedFile.objects.get_or_create(path=path, defaults=fresh)[0]
    same = HostedFile.objects.filter(pk=row.pk, mtime_ns=row.mtime_ns, sha256=row.sha256)
    same.update(**fresh)
    return HostedFile(pk=row.pk, path=path, private=row.private, **fresh)


def is_under_way(path: str) -> bool:
    """Whether a job may have published this file that has not ended."""
    reference = names.REFERENCE.match(path.rpartition("/")[2])
    if reference is None:
        return False
    sha256 = reference[0][:64]
    return Job.objects.filter(sha256=sha256, state__in=IN_FLIGHT).exists()


def _checksum(file: BufferedReader) -> str:
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return digest


def _media_type(file: BufferedReader, path: str) -> str:
    found = sniff(file.read(SNIFF_BYTES))
    file.seek(0)
    if found:
        return MEDIA_TYPES[found]
    guess = mimetypes.guess_type(path)[0] or ""
    return (
        guess if guess.startswith("image/") and "svg" not in guess else "application/octet-stream"
    )


class InBucket:
    """A file of the bucket. Nothing is asked there before bytes are wanted."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.row = self._current()

    def _current(self) -> HostedFile:
        row = HostedFile.objects.filter(path=self._path).exclude(sha256="").first()
        if row is None:
            raise NotHosted
        return row

    def read(self, first: int, length: int) -> "Stream":
        opened = bucket.take()
        try:
            last = None if (first, length) == (0, self.row.bytes) else first + length - 1
            body = opened.open(hosted.key(self._path), first, last)
            self._compare(body)
            return Stream(opened, body, length)
        except BaseException as error:
            opened.close()
            if isinstance(error, DeliveryError):
                bucket.note(error)
            raise

    def _compare(self, body: "Body") -> None:
        """Where a newer job's bytes are there already, or a job that failed has left them, the row
        is corrected. Raises Changed."""
        if body.sha256 in {"", self.row.sha256}:
            return
        fresh = {
            "sha256": body.sha256,
            "bytes": body.size,
            "mtime_ns": int(body.modified.timestamp()) * 10**9,
            "media_type": body.media_type,
        }
        HostedFile.objects.filter(pk=self.row.pk, sha256=self.row.sha256).update(**fresh)
        self.row = self._current()
        raise Changed

    def link(self) -> str | None:
        if settings.PIXERVE.staging_files != "redirect":
            return None
        with bucket.opened() as opened:
            given = {"ContentType": self.row.media_type, "CacheControl": DEFAULT_CACHE_CONTROL}
            return opened.link(hosted.key(self._path), expires_s=LINK_S, **given)

    def close(self) -> None:
        """Nothing was opened."""


class Stream:
    """Bytes of an object while they come in; at their end the bucket is free for the next."""

    def __init__(self, opened: "Bucket", body: "Body", length: int) -> None:
        self.body = body
        self._opened = opened
        self._left = length

    def read(self, size: int = CHUNK) -> bytes:
        chunk = self.body.read(min(size, self._left)) if self._left else b""
        self._left -= len(chunk)
        if not chunk and self._left:
            raise HostingFailed("the bucket's answer was cut off")
        return chunk

    def close(self) -> None:
        self.body.close()
        if self._left:
            self._opened.close()
        else:
            bucket.give_back(self._opened)
