"""Direct hosting: finished files below one root folder, served as they are.

A file appears whole or not at all, and no path leads out of the root. Every step opens
one segment relative to the folder before it and follows no symbolic link, so what was
checked cannot be swapped before it is used.
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple, Self

from delivery.errors import HostingFailed, NotHosted, PathRefused

TEMPORARY_PREFIX = ".tmp-"
MAX_SEGMENT_BYTES = 255

# ``.tmp-{of the final name}-{random}``: found again by the name, and no two writers share one.
_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{16}-[0-9a-f]{16}")

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a FIFO that somebody left here would wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PUBLIC_MODE = 0o644

# Each try loses only if a remover empties the same folder at that very moment.
_PUBLISH_TRIES = 50

# A symbolic link opened with O_NOFOLLOW is ENOTDIR on Linux and ELOOP elsewhere.
_NOT_A_FOLDER = frozenset({errno.ENOTDIR, errno.ELOOP})
_NOT_THERE = frozenset({errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO})
# EEXIST: the name is taken.
_CANNOT_LINK = frozenset(
    {
        errno.EEXIST,
        errno.EXDEV,
        errno.EPERM,
        errno.EACCES,
        errno.EMLINK,
        errno.ENOSYS,
        errno.EOPNOTSUPP,
    }
)


@dataclass(frozen=True)
class HostedHandle:
    """An open hosted file: position 0, ``size`` in bytes. Close it, or use it in ``with``.

    It stays readable and unchanged when the path is published anew or removed.
    """

    file: BufferedReader
    size: int
    mtime_ns: int

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Placed(NamedTuple):
    """A file as it was published: bytes, and nanoseconds of its last modification."""

    size: int
    mtime_ns: int


class HostedRoot:
    """The files below ``root``. Paths are relative, with ``/`` between plain segments.

    The root folder itself may be a symbolic link, it is the operator's; nothing below may.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def publish(self, source: Path, path: str) -> Placed:
        """Let the bytes of ``source`` appear at ``path``, replacing what was there, durably.

        Where the file system can, the file is linked and not copied: its bytes must have been
        synced, and nobody may write into it afterwards. Raises PathRefused, HostingFailed.
        """
        *folders, name = _segments(path)
        return self._publish(folders, {name: source})[name]

    def publish_all(
        self, folder: str, sources: Mapping[str, Path], on_each: Callable[[], None] | None = None
    ) -> dict[str, Placed]:
        """``publish`` for several files of one ``folder`` ("" is the root), by their names there.

        They appear one after the other, and are durable together when this returns. ``on_each`` is
        called before each of them.
        """
        for name in sources:
            if _segments(name) != [name]:
                raise PathRefused("a file's name holds a slash")
        return self._publish(_segments(folder) if folder else [], sources, on_each)

    def _publish(
        self,
        folders: list[str],
        sources: Mapping[str, Path],
        on_each: Callable[[], None] | None = None,
    ) -> dict[str, Placed]:
        try:
            for _ in range(_PUBLISH_TRIES):
                # Missing sources have another error: what is missing here is a folder that was
                # just pruned.
                with suppress(FileNotFoundError), self._folder(folders, make=True) as folder:
                    return _place_all(sources, folder, on_each)
        except IsADirectoryError:
            raise PathRefused("the path is a folder") from None
        except OSError as error:
            raise HostingFailed(error.strerror or type(error).__name__) from error
        raise HostingFailed("the folder vanished again and again")

    def open(self, path: str) -> HostedHandle:
        """The regular file at ``path``. Raises NotHosted, for a bad path too.

        Trouble of the machine (no permission, no descriptors) passes as OSError.
        """
        try:
            *folders, name = _segments(path)
            with self._folder(folders) as folder:
                fd = os.open(name, _FILE, dir_fd=folder)
        except PathRefused:
            raise NotHosted from None
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise
            raise NotHosted from None
        return _handle(fd)

    def remove(self, path: str) -> bool:
        """Remove the file and the folders it leaves empty. False when there was none.

        Raises PathRefused, HostingFailed.
        """
        *folders, name = _segments(path)
        try:
            with self._folder(folders) as folder:
                os.unlink(name, dir_fd=folder)
                os.fsync(folder)
        except (FileNotFoundError, IsADirectoryError):
            return False
        except OSError as error:
            raise HostingFailed(error.strerror or type(error).__name__) from error
        self._prune(folders)
        return True

    def clean(self, path: str) -> int:
        """Remove what killed publishes of ``path`` left half; how many files there were.

        One that is still under way starts again. Raises PathRefused, HostingFailed.
        """
        *folders, name = _segments(path)
        return self._clean(folders, (name,))

    def clean_all(self, folder: str, names: Iterable[str]) -> int:
        """``clean`` for several files of one ``folder`` ("" is the root), which is listed once."""
        return self._clean(_segments(folder) if folder else [], names)

    def _clean(self, folders: list[str], names: Iterable[str]) -> int:
        prefixes = tuple(map(_temporary_prefix, names))
        removed = 0
        try:
            with self._folder(folders) as folder, os.scandir(folder) as entries:
                half = [each.name for each in entries if each.name.startswith(prefixes)]
                for each in half:
                    with suppress(FileNotFoundError):
                        os.unlink(each, dir_fd=folder)
                        removed += 1
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise HostingFailed(error.strerror or type(error).__name__) from error
        if removed:
            self._prune(folders)
        return removed

    def sweep(self, older_than_s: float) -> int:
        """Remove temporary files that a killed publish left behind; how many there were.

        ``older_than_s`` must exceed the longest time that one publish may take.
        """
        if not self.root.is_dir():
            return 0
        root = self.root.resolve()
        before = time.time() - older_than_s
        removed = 0
        for folder_path, _, names, folder in os.fwalk(root, topdown=False):
            stale = [name for name in names if _is_stale(name, folder, before)]
            for name in stale:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
                    removed += 1
            if stale:
                self._prune(list(Path(folder_path).relative_to(root).parts))
        return removed

    @contextmanager
    def _folder(self, segments: list[str], *, make: bool = False) -> Iterator[int]:
        """A descriptor of the folder, reached segment by segment, made on the way if asked."""
        if make:
            self.root.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.root, _FOLDER & ~os.O_NOFOLLOW)
        try:
            for segment in segments:
                if make:
                    _make_folder(segment, fd)
                deeper = _open_folder(segment, fd)
                os.close(fd)
                fd = deeper
            yield fd
        finally:
            os.close(fd)

    def _prune(self, folders: list[str]) -> None:
        """Remove empty folders upwards. Only rmdir decides what is empty, so no file is lost."""
        # A folder that cannot go, used again or not ours, simply stays.
        with suppress(OSError, PathRefused):
            for depth in range(len(folders), 0, -1):
                with self._folder(folders[: depth - 1]) as parent:
                    os.rmdir(folders[depth - 1], dir_fd=parent)


def check_path(path: str) -> None:
    """Raises PathRefused unless ``path`` is relative, of plain segments."""
    _segments(path)


def _segments(path: str) -> list[str]:
    """The path's segments. Raises PathRefused for whatever is not plain."""
    segments = path.split("/")
    if "\\" in path or not path.isprintable():
        raise PathRefused("the path holds a backslash or a control character")
    if any(not segment or segment.startswith(".") for segment in segments):
        raise PathRefused("the path is absolute, or a segment is empty or starts with a dot")
    if any(len(os.fsencode(segment)) > MAX_SEGMENT_BYTES for segment in segments):
        raise PathRefused(f"a segment is longer than {MAX_SEGMENT_BYTES} bytes")
    return segments


@contextmanager
def _opened(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def _open_folder(name: str, parent: int) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except OSError as error:
        if error.errno not in _NOT_A_FOLDER:
            raise
        raise PathRefused("a segment of the path is a file or a symbolic link") from None


def _make_folder(name: str, parent: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent)
        os.fsync(parent)


def _place_all(
    sources: Mapping[str, Path], folder: int, on_each: Callable[[], None] | None
) -> dict[str, Placed]:
    placed = {}
    for name, source in sources.items():
        if on_each:
            on_each()
        with _opened(_open_source(source)) as source_fd:
            placed[name] = _place(source, source_fd, name, folder)
    os.fsync(folder)
    return placed


def _open_source(source: Path) -> int:
    try:
        return os.open(source, _FILE)
    except FileNotFoundError as error:
        raise HostingFailed(str(error.strerror)) from error


def _place(source: Path, source_fd: int, name: str, folder: int) -> Placed:
    """Bring the bytes into the folder; a name that is free is simply linked."""
    status = os.fstat(source_fd)
    if not stat.S_ISREG(status.st_mode):
        raise HostingFailed("the source is not a regular file")
    if not _link(source, source_fd, name, folder):
        status = _replace(source, source_fd, name, folder)
    return Placed(status.st_size, status.st_mtime_ns)


def _replace(source: Path, source_fd: int, name: str, folder: int) -> os.stat_result:
    """Bring the bytes into the folder under a temporary name, then give them their own."""
    temporary = _temporary_prefix(name) + secrets.token_hex(8)
    try:
        if not _link(source, source_fd, temporary, folder):
            _copy(source_fd, temporary, folder)
        status = os.stat(temporary, dir_fd=folder, follow_symlinks=False)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        return status
    finally:
        # A rename onto another link of the same file does nothing and keeps both names.
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)


def _temporary_prefix(name: str) -> str:
    return f"{TEMPORARY_PREFIX}{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}-"


def _link(source: Path, source_fd: int, name: str, folder: int) -> bool:
    """Give the source's bytes, synced before, a further name; False where that cannot be done."""
    try:
        if stat.S_IMODE(os.fstat(source_fd).st_mode) != _PUBLIC_MODE:
            os.fchmod(source_fd, _PUBLIC_MODE)
            os.fsync(source_fd)
        os.link(source, name, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        return False
    return True


def _copy(source_fd: int, temporary: str, folder: int) -> None:
    new = os.open(temporary, _NEW_FILE, _PUBLIC_MODE, dir_fd=folder)
    with os.fdopen(os.dup(source_fd), "rb") as reader, os.fdopen(new, "wb") as writer:
        reader.seek(0)
        shutil.copyfileobj(reader, writer)
        writer.flush()
        os.fchmod(new, _PUBLIC_MODE)
        os.fsync(new)


def _handle(fd: int) -> HostedHandle:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise NotHosted
    return HostedHandle(os.fdopen(fd, "rb"), status.st_size, status.st_mtime_ns)


def _is_stale(name: str, folder: int, before: float) -> bool:
    """By the time of linking: a link has the modification time of its source."""
    if not _TEMPORARY.fullmatch(name):
        return False
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_ctime < before
    except FileNotFoundError:
        return False
