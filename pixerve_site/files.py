"""Lock files and copies of folders, for commands that work beside a running server."""

import fcntl
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Keep = Callable[[Path, os.stat_result], bool]


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock file for the length of a `with`; raises BlockingIOError where it is held.

    The kernel drops the lock of a process that ends, however it ends.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def regular_files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Every regular file below `folder`, relative to it; what vanishes meanwhile is passed over."""
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where, name)
            with suppress(FileNotFoundError):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    yield path.relative_to(folder), status


def copy_files(source: Path, target: Path, keep: Keep = lambda _path, _status: True) -> int:
    """Copy the regular files below `source` with modes and times; returns how many there were."""
    count = 0
    for path, status in regular_files(source):
        if keep(path, status):
            _make_folders(source, target, path.parent)
            with suppress(FileNotFoundError):
                shutil.copy2(source / path, target / path)
                count += 1
    return count


def _make_folders(source: Path, target: Path, path: Path) -> None:
    """The folders of `path` below `target`, each with the mode it has below `source`."""
    if (target / path).is_dir():
        return
    if path != Path():
        _make_folders(source, target, path.parent)
    (target / path).mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        shutil.copymode(source / path, target / path)
