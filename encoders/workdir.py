"""Private folders of children, and the removal of those whose owners were killed."""

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

_PREFIX = "pixerve-child-"
_NEWBORN_S = 60.0
"""A folder this young may not be locked yet."""


def make_work_dir() -> tuple[Path, int]:
    """A new private folder, and a descriptor that holds a lock on it.

    The lock lasts as long as any process has the descriptor open, so a locked folder is in use.
    """
    path = Path(tempfile.mkdtemp(prefix=_PREFIX))
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return path, descriptor


def sweep_work_dirs(newborn_s: float = _NEWBORN_S) -> int:
    """Remove the folders of children that died together with their parent; how many they were."""
    oldest = time.time() - newborn_s
    return sum(_remove_if_dead(path, oldest) for path in _work_dirs())


def _work_dirs() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"))


def _remove_if_dead(path: Path, oldest: float) -> bool:
    try:
        if path.stat().st_mtime > oldest:
            return False
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
