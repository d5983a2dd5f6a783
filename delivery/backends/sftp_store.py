"""A folder of an SSH server, by Paramiko itself; loaded when the first one is opened.

django-storages' SFTPStorage is not in between: it trusts any unknown host key and the user's
known_hosts, writes to the final name, where readers see half a file, and keeps no time.

A file is written into ``.pixerve-tmp`` of the root folder, compared, and renamed to its name in one
step (posix-rename@openssh.com), so folder and subfolders must be on one file system. What a killed
worker left there is removed by the next one after an hour.
"""

import errno
import hashlib
import posixpath
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import paramiko

from delivery.backends.base import (
    OpenStore,
    Stored,
    check_source,
    digest,
    object_name,
    public,
)
from delivery.backends.errors import (
    AccessDenied,
    BadOptions,
    ChecksumMismatch,
    NoBucket,
    NoObject,
    StoreFull,
    StoreUnavailable,
)
from delivery.backends.probe import round_trip
from delivery.backends.sftp import SftpOptions
from delivery.backends.ssh import Connection
from delivery.backends.trouble import network_trouble
from delivery.backends.wire import Wire
from delivery.errors import DeliveryError

TEMPORARY = ".pixerve-tmp"
STALE_S = 3600
_BLOCK = 1 << 15
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class SftpStore(OpenStore):
    """One folder over one connection, in one thread; a lost connection is made anew."""

    def __init__(self, options: SftpOptions, wire: Wire) -> None:
        self._options = options
        self._wire = wire
        self._connection: Connection | None = None
        self._swept = False

    def put(
        self, key: str, source: Path, *, media_type: str, cache_control: str | None, sha256: str
    ) -> Stored:
        """A folder keeps no metadata: type and cache time are its web server's business."""
        path = self._path(key)
        found = digest(source)
        check_source(found.sha256, sha256)
        temporary = posixpath.join(self._options.root, TEMPORARY, secrets.token_hex(12))
        try:
            with self._asking(2 * found.size) as sftp:
                self._write(sftp, source, temporary)
                self._compare(sftp, temporary, found.size, found.sha256)
                self._sweep(sftp, temporary)
                _making_folders(sftp, path, lambda: _rename(sftp, temporary, path))
        except DeliveryError:
            self._remove(temporary)
            raise
        how = "sha256:" + found.sha256 if self._options.read_back else f"size:{found.size}"
        return Stored(found.size, how, self.url(key, expires_s=None))

    def read(self, key: str, limit: int) -> bytes:
        with self._asking(limit) as sftp:
            try:
                with sftp.open(self._path(key), "rb") as file:
                    return bytes(file.read(limit))
            except FileNotFoundError:
                raise NoObject from None

    def delete(self, key: str) -> None:
        with self._asking() as sftp, suppress(FileNotFoundError):
            sftp.remove(self._path(key))

    def exists(self, key: str) -> bool:
        with self._asking() as sftp:
            try:
                sftp.stat(self._path(key))
            except FileNotFoundError:
                return False
            return True

    def url(self, key: str, *, expires_s: int | None) -> str | None:
        name = object_name(None, key)
        return public(self._options.public_url, name) if expires_s is None else None

    def probe(self) -> None:
        round_trip(self)

    def close(self) -> None:
        if self._connection is not None:
            with suppress(DeliveryError), self._asking() as sftp, suppress(OSError):
                sftp.rmdir(posixpath.join(self._options.root, TEMPORARY))
            self._hang_up()
        self._wire.close()

    def _path(self, key: str) -> str:
        return posixpath.join(self._options.root, object_name(None, key))

    def _write(self, sftp: paramiko.SFTPClient, source: Path, temporary: str) -> None:
        def send() -> None:
            # "x" joins the other modes and lets the server refuse a taken name.
            with source.open("rb") as file, sftp.open(temporary, "wx") as target:
                target.set_pipelined(True)
                _copy(file, target)

        _making_folders(sftp, temporary, send, self._options.root)

    def _compare(self, sftp: paramiko.SFTPClient, temporary: str, size: int, sha256: str) -> None:
        there = sftp.stat(temporary).st_size
        if there != size:
            # Paramiko passes over the answers to writes that were sent ahead.
            raise StoreFull(f"the server took {there} bytes of {size}; disk full or over quota?")
        if not self._options.read_back:
            return
        found = hashlib.sha256()
        with sftp.open(temporary, "rb") as file:
            file.prefetch(size)
            while block := file.read(_BLOCK):
                found.update(block)
        if found.hexdigest() != sha256:
            raise ChecksumMismatch("the server gives other bytes than it was sent")

    def _sweep(self, sftp: paramiko.SFTPClient, temporary: str) -> None:
        """Remove what others left long ago, by the server's clock; once for each opened store."""
        if self._swept:
            return
        self._swept = True
        folder = posixpath.dirname(temporary)
        now = sftp.stat(temporary).st_mtime or 0
        for each in sftp.listdir_attr(folder):
            if (each.st_mtime or now) < now - STALE_S:
                with suppress(OSError):
                    sftp.remove(posixpath.join(folder, each.filename))

    def _remove(self, temporary: str) -> None:
        """After a failure, over a new connection if the old one is gone."""
        with suppress(DeliveryError), self._asking() as sftp, suppress(OSError):
            sftp.remove(temporary)
            sftp.rmdir(posixpath.dirname(temporary))

    @contextmanager
    def _asking(self, size: int = 0) -> Iterator[paramiko.SFTPClient]:
        """One operation of at most ``size`` bytes, its errors in our words."""
        with self._wire.within(size):
            try:
                yield self._connected()
            except DeliveryError:
                raise
            except (OSError, EOFError, paramiko.SSHException) as error:
                raise self._in_words(error) from None

    def _connected(self) -> paramiko.SFTPClient:
        if self._connection is None or not self._connection.alive:
            self._hang_up()
            self._connection = Connection(self._options, self._wire)
        return self._connection.sftp

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _in_words(self, error: Exception) -> DeliveryError:
        host = self._options.host
        if isinstance(error, PermissionError):
            return AccessDenied(
                f"{host} refuses access; let {self._options.user!r} write into "
                f"{self._options.root!r}"
            )
        if isinstance(error, FileNotFoundError):
            return NoBucket(
                f"{host} has no folder {self._options.root!r}; make it, or correct root"
            )
        if _is_status(error):
            return self._of_status(error)
        # A connection that has failed in the middle of a talk is of no more use.
        self._hang_up()
        if isinstance(error, paramiko.SSHException) and "banner" in str(error).lower():
            return self._wire.late() or StoreUnavailable(f"{host}: no SSH server answers there")
        return network_trouble(error, self._wire, host)

    def _of_status(self, error: Exception) -> DeliveryError:
        """SFTP has one word, "Failure", for most of what can go wrong."""
        if "failure" in str(error).lower():
            return StoreFull(
                f"{self._options.host} reports a failure: disk full, over quota, or a folder "
                "stands where a file should be"
            )
        return BadOptions(f"{self._options.host} refuses an operation: {str(error)[:80]!r}")


def _is_status(error: Exception) -> bool:
    """Paramiko turns an answer of SFTP into an OSError without a number."""
    return type(error) is OSError and error.errno is None and "closed" not in str(error).lower()


def _copy(file: BinaryIO, target: paramiko.SFTPFile) -> None:
    while block := file.read(_BLOCK):
        target.write(block)


def _rename(sftp: paramiko.SFTPClient, temporary: str, path: str) -> None:
    try:
        sftp.posix_rename(temporary, path)
    except OSError as error:
        if "unsupported" not in str(error).lower():
            raise
        # A server without the extension: for a moment there is no file of this name.
        with suppress(FileNotFoundError):
            sftp.remove(path)
        sftp.rename(temporary, path)


def _making_folders(
    sftp: paramiko.SFTPClient, path: str, action: Callable[[], None], root: str = ""
) -> None:
    """Do it; where a folder is missing make it, and do it again."""
    try:
        action()
    except FileNotFoundError:
        _make_folder(sftp, posixpath.dirname(path), root)
        action()


def _make_folder(sftp: paramiko.SFTPClient, folder: str, root: str) -> None:
    """The folder and those above it, but not the root folder: that one is the operator's."""
    try:
        sftp.mkdir(folder)
    except FileNotFoundError:
        if not folder or folder == root:
            raise
        _make_folder(sftp, posixpath.dirname(folder), root)
        sftp.mkdir(folder)
    except OSError as error:
        # Another worker may have been quicker.
        try:
            sftp.stat(folder)
        except OSError:
            raise error from None
