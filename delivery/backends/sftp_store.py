"""A folder of an SSH server, by Paramiko itself; loaded when the first one is opened.

django-storages' SFTPStorage is not in between: it trusts any unknown host key and the user's
known_hosts, writes to the final name, where readers see half a file, and keeps no time.

A file is written beside its place under one of two temporary names that belong to its key and its
credential, compared, and renamed in one step (posix-rename@openssh.com). So the next ``put`` of the
key knows, without listing a folder, what a killed one may have left, and removes it. The second
name is for a writer who finds the first one taken: it may be dead, or only slow.
"""

import hashlib
import posixpath
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import paramiko

from delivery.backends.base import (
    Digests,
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
    InTheWay,
    NoBucket,
    NoObject,
    Overtaken,
    StoreFull,
    StoreUnavailable,
)
from delivery.backends.probe import round_trip
from delivery.backends.sftp import SftpOptions
from delivery.backends.ssh import Connection
from delivery.backends.trouble import network_trouble
from delivery.backends.wire import Wire
from delivery.errors import DeliveryError

TEMPORARY_PREFIX = ".pixerve-"
_BLOCK = 1 << 15

T = TypeVar("T")


class SftpStore(OpenStore):
    """One folder over one connection, in one thread; a lost connection is made anew."""

    put_cleans = True

    def __init__(self, options: SftpOptions, wire: Wire, name: str) -> None:
        """``name`` is the credential's: two that lead to one folder share no temporary file."""
        self._options = options
        self._wire = wire
        self._credential = name
        self._connection: Connection | None = None

    def put(
        self, key: str, source: Path, *, media_type: str, cache_control: str | None, sha256: str
    ) -> Stored:
        """A folder keeps no metadata: type and cache time are its web server's business."""
        path = self._path(key)
        found = digest(source)
        check_source(found.sha256, sha256)
        temporary = None
        try:
            with self._asking(2 * found.size) as sftp:
                target, temporary, other = self._start(sftp, path)
                _fill(target, source)
                self._bring(sftp, temporary, path, found)
                if other:
                    _remove(sftp, other)
        except DeliveryError as error:
            if temporary and not isinstance(error, Overtaken):
                with suppress(DeliveryError), self._asking() as sftp:
                    _remove(sftp, temporary)
            raise
        how = "sha256:" + found.sha256 if self._options.read_back else f"size:{found.size}"
        return Stored(found.size, how, self.url(key, expires_s=None))

    def clean(self, key: str, size: int) -> None:
        with self._asking() as sftp:
            for each in self._temporaries(self._path(key)):
                _remove(sftp, each)

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
        self._hang_up()
        self._wire.close()

    def _path(self, key: str) -> str:
        return posixpath.join(self._options.root, object_name(None, key))

    def _temporaries(self, path: str) -> tuple[str, str]:
        folder, name = posixpath.split(path)
        mark = hashlib.sha256(f"{self._credential}\0{name}".encode()).hexdigest()[:24]
        first, second = (f"{TEMPORARY_PREFIX}{mark}-{number}" for number in (1, 2))
        return posixpath.join(folder, first), posixpath.join(folder, second)

    def _start(
        self, sftp: paramiko.SFTPClient, path: str
    ) -> tuple[paramiko.SFTPFile, str, str | None]:
        """A new temporary file, its name, and that of another which was in its way."""
        first, second = self._temporaries(path)

        def start() -> tuple[paramiko.SFTPFile, str, str | None]:
            if target := _new_file(sftp, first):
                return target, first, None
            _remove(sftp, second)
            if target := _new_file(sftp, second):
                return target, second, first
            raise Overtaken(self._options.host)

        return _making_folder(sftp, path, start, self._options.root)

    def _bring(self, sftp: paramiko.SFTPClient, temporary: str, path: str, found: Digests) -> None:
        """Compare what was written, and give it its name."""
        try:
            self._compare(sftp, temporary, found)
            _rename(sftp, temporary, path)
        except FileNotFoundError:
            raise Overtaken(self._options.host) from None

    def _compare(self, sftp: paramiko.SFTPClient, temporary: str, expected: Digests) -> None:
        there = sftp.stat(temporary).st_size
        if there != expected.size:
            # Paramiko passes over the answers to writes that were sent ahead.
            raise StoreFull(
                f"the server took {there} bytes of {expected.size}; disk full or over quota?"
            )
        if not self._options.read_back:
            return
        found = hashlib.sha256()
        with sftp.open(temporary, "rb") as file:
            file.prefetch(expected.size)
            while block := file.read(_BLOCK):
                found.update(block)
        if found.hexdigest() != expected.sha256:
            raise ChecksumMismatch("the server gives other bytes than it was sent")

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


def _fill(target: paramiko.SFTPFile, source: Path) -> None:
    with source.open("rb") as file, target:
        target.set_pipelined(True)
        while block := file.read(_BLOCK):
            target.write(block)


def _new_file(sftp: paramiko.SFTPClient, name: str) -> paramiko.SFTPFile | None:
    """An opened file that was not there; None where it was."""
    try:
        # "x" joins the other modes and lets the server refuse a taken name.
        return sftp.open(name, "wx")
    except (FileNotFoundError, PermissionError):
        raise
    except OSError as error:
        # SFTP calls a taken name a failure, like much else.
        if not _is_status(error) or not _is_there(sftp, name):
            raise
    return None


def _is_there(sftp: paramiko.SFTPClient, name: str) -> bool:
    try:
        sftp.lstat(name)
    except FileNotFoundError:
        return False
    return True


def _remove(sftp: paramiko.SFTPClient, name: str) -> None:
    with suppress(FileNotFoundError):
        sftp.remove(name)


def _rename(sftp: paramiko.SFTPClient, temporary: str, path: str) -> None:
    try:
        sftp.posix_rename(temporary, path)
    except OSError as error:
        if "unsupported" not in str(error).lower():
            raise
        # A server without the extension: for a moment there is no file of this name.
        _remove(sftp, path)
        sftp.rename(temporary, path)


def _making_folder(sftp: paramiko.SFTPClient, path: str, action: Callable[[], T], root: str) -> T:
    """Do it; where the path's folder is missing make it, and do it again."""
    try:
        return action()
    except FileNotFoundError:
        _make_folder(sftp, posixpath.dirname(path), root)
        return action()


def _make_folder(sftp: paramiko.SFTPClient, folder: str, root: str) -> None:
    """The folder and those above it, but not the root folder: that one is the operator's."""
    if folder.rstrip("/") == root.rstrip("/"):
        raise FileNotFoundError
    try:
        sftp.mkdir(folder)
    except FileNotFoundError:
        _make_folder(sftp, posixpath.dirname(folder), root)
        sftp.mkdir(folder)
    except OSError as error:
        # Another worker may have been quicker.
        try:
            mode = sftp.stat(folder).st_mode or 0
        except OSError:
            raise error from None
        if not stat.S_ISDIR(mode):
            raise InTheWay("a file stands where a folder should be; move it away") from None
