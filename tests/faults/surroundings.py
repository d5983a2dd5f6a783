"""What goes wrong around Pixerve: a full disk, a clock that jumps."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FILL = b"\0" * (1 << 20)


def no_mounts() -> str | None:
    """Why this machine cannot have a small disk."""
    return None if os.geteuid() == 0 and shutil.which("mount") else "only root mounts a disk"


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[None]:
    """`folder` is a disk of its own for the length of a `with`."""
    folder.mkdir(parents=True)
    options = f"size={mebibytes}m,mode=700"
    _run("mount", "-t", "tmpfs", "-o", options, "none", str(folder))
    try:
        yield
    finally:
        # Whoever still has a file there open keeps it from going, not from being out of sight.
        _run("umount", "--lazy", str(folder))


def _run(program: str, *words: str) -> None:
    subprocess.run([shutil.which(program) or program, *words], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Not a byte is left on the disk of `folder` for the length of a `with`."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as out:
        size = len(_FILL)
        while size:
            try:
                out.write(_FILL[:size])
            except OSError:
                size //= 2
        try:
            yield
        finally:
            filler.unlink()


def faketime() -> str | None:
    """The library that gives processes a clock of their own."""
    found = next(Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1"), None)
    return str(found) if found else None


# In the version of Debian 12 a library that leaves measured time alone breaks Python's sleep.
_SLEEP = """
import select
import time

time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""


class Clock:
    """The clock on the wall of the processes that have `settings` in their environment. Only that
    one jumps: time that is measured goes on as it does. Its files are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(_SLEEP)
        self.set(0)

    def set(self, offset_s: int) -> None:
        """Let it differ from the real one by so many seconds from now on."""
        new = self._folder / "new"
        new.write_text(f"{offset_s:+d}\n")
        new.replace(self._folder / "offset")

    @property
    def settings(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": faketime() or "",
            "PYTHONPATH": str(self._folder),
            "FAKETIME_TIMESTAMP_FILE": str(self._folder / "offset"),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
