"""An upload while it streams in: written, hashed and sniffed in one pass, then made durable."""

import errno
import hashlib
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from encoders.sniff import SNIFF_BYTES, sniff
from jobs import bucket, staging
from jobs.errors import BadRequest, PayloadTooLarge, Unavailable, UnsupportedPicture
from jobs.holds import Hold

_FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Staged:
    """A finished upload, durable on this host, not yet a job; not swept while `hold` lasts."""

    uid: uuid.UUID
    upload_name: str
    sha256: str
    size: int
    source_format: str
    hold: Hold | None = field(default=None, compare=False, repr=False)


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
    return staging.no_room()


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
            staging.folder(self.uid).mkdir(mode=0o700, parents=True)
            self._hold = Hold(staging.folder(self.uid))
            return staging.source_path(self.uid).open("xb", buffering=0)
        except OSError as error:
            staging.remove_here(self.uid)
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
        """Make it durable: from here on the upload survives a power cut. (With a bucket it does so
        there, where `intake.accept` puts it.)"""
        source_format = self._format()
        if bucket.in_use():
            self._stream.close()
        else:
            self._sync()
        return Staged(
            uid=self.uid,
            upload_name=self.upload_name,
            sha256=self._hash.hexdigest(),
            size=self._size,
            source_format=source_format,
            hold=self._hold,
        )

    def _sync(self) -> None:
        try:
            os.fsync(self._stream.fileno())
            self._stream.close()
            _sync_folder(staging.folder(self.uid))
            _sync_folder(staging.root())
        except OSError as error:
            raise out_of_space(error) or error from None

    def abort(self) -> None:
        """Leave nothing behind."""
        self._stream.close()
        staging.remove_here(self.uid)
        self._hold.release()
