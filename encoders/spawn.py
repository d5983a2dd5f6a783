"""The child process and its pipes: how it is started, and what it inherits."""

import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from encoders.limits import Limits
from encoders.sandbox import powers
from encoders.workdir import make_work_dir, sweep_work_dirs

logger = logging.getLogger("pixerve.encoders")

_PACKAGE = Path(__file__).parent
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "COVERAGE_PROCESS_CONFIG")
"""Nothing else of the parent's environment reaches the child: it holds secrets."""

_KEEP = {"MALLOC_MMAP_THRESHOLD_": str(64 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
"""Bytes, of glibc's allocator: what one picture used serves the next. Left alone, its pages go back
to the kernel in between; 6 megapixels were decoded in 65 ms instead of 35."""

_COVERAGE = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_FILE")
"""Both are set while the tests are measured; the child then leaves its part beside the file."""


@dataclass(frozen=True)
class Reach:
    """The folders that a child may open files in, for its whole life."""

    read: tuple[Path, ...]
    write: tuple[Path, ...]

    def covers(self, source: Path, out_dir: Path) -> bool:
        """Whether a child with this reach can read ``source`` and write to ``out_dir``."""
        return _within(source, (*self.read, *self.write)) and _within(out_dir, self.write)


def _within(path: Path, folders: tuple[Path, ...]) -> bool:
    return any(path.absolute().is_relative_to(folder) for folder in folders)


@dataclass(frozen=True)
class Child:
    """A running child: jobs go into ``jobs_fd``, answers come out of ``answers_fd``."""

    process: subprocess.Popen[bytes]
    jobs_fd: int
    answers_fd: int
    errors_fd: int
    work_dir: Path
    limits: Limits
    reach: "Reach"

    def end(self, *, grace_s: float = 0.0) -> None:
        """End the child, reap it and remove what is left of it.

        An idle child leaves by itself when its job pipe closes; it has ``grace_s`` seconds to.
        """
        os.close(self.jobs_fd)
        try:
            if grace_s:
                self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.process.kill()
            self.process.wait()
        os.close(self.answers_fd)
        if self.process.stderr:
            self.process.stderr.close()
        shutil.rmtree(self.work_dir, ignore_errors=True)


def spawn(limits: Limits, reach: Reach) -> Child:
    """Start a child that is confined to ``limits`` and dies with the calling thread."""
    _tell_once(str(powers()))
    sweep_work_dirs()
    work_dir, work_lock = make_work_dir()
    jobs_read, jobs_write = os.pipe()
    answers_read, answers_write = os.pipe()
    inherited = (jobs_read, answers_write)
    bounds = (os.getpid(), limits.memory_bytes, limits.file_bytes)
    arguments = [*map(str, (*inherited, *bounds)), _folders(reach)]
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "encoders.child", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=work_dir,
            env=_environment(work_dir),
            pass_fds=(*inherited, work_lock),
        )
    except BaseException:
        os.close(jobs_write)
        os.close(answers_read)
        shutil.rmtree(work_dir, ignore_errors=True)
        raise
    finally:
        for descriptor in (*inherited, work_lock):
            os.close(descriptor)
    assert process.stderr is not None  # noqa: S101 - it was asked for above
    os.set_blocking(process.stderr.fileno(), False)
    return Child(
        process, jobs_write, answers_read, process.stderr.fileno(), work_dir, limits, reach
    )


@cache
def _tell_once(means: str) -> None:
    logger.info("Converter children are held back by limits, %s.", means)


def _folders(reach: Reach) -> str:
    """What ``encoders.child`` takes: JSON, with the folder of test coverage while that is on."""
    measured = [os.environ[name] for name in _COVERAGE if name in os.environ]
    coverage = [Path(measured[1]).parent] if len(measured) == len(_COVERAGE) else []
    return json.dumps(
        {"read": [*map(str, reach.read)], "write": [*map(str, [*reach.write, *coverage])]}
    )


def _environment(work_dir: Path) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    python_path = [str(_PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return inherited | {
        **_KEEP,
        "PYTHONPATH": os.pathsep.join(python_path),
        "TMPDIR": str(work_dir),
        "MAGICK_TEMPORARY_PATH": str(work_dir),
        "MAGICK_CONFIGURE_PATH": str(_PACKAGE / "magick"),
        # Threads gain nothing here: there is one child for each core.
        "MAGICK_THREAD_LIMIT": "1",
        "OMP_NUM_THREADS": "1",
    }
