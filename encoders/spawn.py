"""The child process and its pipes: how it is started, and what it inherits."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from encoders.limits import Limits
from encoders.workdir import make_work_dir, sweep_work_dirs

_PACKAGE = Path(__file__).parent
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "COVERAGE_PROCESS_CONFIG")
"""Nothing else of the parent's environment reaches the child: it holds secrets."""


@dataclass(frozen=True)
class Child:
    """A running child: jobs go into ``jobs_fd``, answers come out of ``answers_fd``."""

    process: subprocess.Popen[bytes]
    jobs_fd: int
    answers_fd: int
    errors_fd: int
    work_dir: Path
    limits: Limits

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


def spawn(limits: Limits) -> Child:
    """Start a child that is confined to ``limits`` and dies with the calling thread."""
    sweep_work_dirs()
    work_dir, work_lock = make_work_dir()
    jobs_read, jobs_write = os.pipe()
    answers_read, answers_write = os.pipe()
    inherited = (jobs_read, answers_write)
    bounds = (os.getpid(), limits.memory_bytes, limits.file_bytes)
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "encoders.child", *map(str, (*inherited, *bounds))],
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
    return Child(process, jobs_write, answers_read, process.stderr.fileno(), work_dir, limits)


def _environment(work_dir: Path) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    python_path = [str(_PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return inherited | {
        "PYTHONPATH": os.pathsep.join(python_path),
        "TMPDIR": str(work_dir),
        "MAGICK_TEMPORARY_PATH": str(work_dir),
        "MAGICK_CONFIGURE_PATH": str(_PACKAGE / "magick"),
        # Threads gain nothing here: there is one child for each core.
        "MAGICK_THREAD_LIMIT": "1",
        "OMP_NUM_THREADS": "1",
    }
