"""One long-lived process for each peer, and ours as a worker uses it."""

import json
import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.engine.workloads import Output
from encoders import registry
from encoders.converter import Converter
from encoders.errors import PictureError
from encoders.limits import Limits
from encoders.look import Look
from encoders.plan import Plan, Settings, Variant

ROOT = Path(__file__).parents[2]
_MOST_PIXELS = 200_000_000


class PeerError(Exception):
    """A peer could not do a job; the message is its reason."""


class Runner(Protocol):
    """A running peer."""

    def run(self, source: Path, outputs: Sequence[Output], folder: Path) -> None:
        """Write each output to ``path_of(folder, output)``. Raises PeerError."""

    def cpu_s(self) -> float:
        """User and system CPU seconds so far, of all its threads and processes."""

    def peak_bytes(self) -> int:
        """The largest resident set so far (of one process, where it starts several)."""

    def close(self) -> None:
        """End it."""


def path_of(folder: Path, output: Output) -> Path:
    """Where an output is written."""
    return folder / f"{output.box[0]}x{output.box[1]}.{output.format}"


@dataclass
class Pixerve:
    """Our child, through the converter that a worker uses."""

    threads: int = 1

    def __post_init__(self) -> None:
        # Recycling belongs to long runs; a measured job must not pay for another child's start.
        self._converter = Converter(recycle_jobs=1_000_000)

    def run(self, source: Path, outputs: Sequence[Output], folder: Path) -> None:
        """See ``Runner``."""
        if source.suffix == ".webp" and not registry.load("webp").animated:
            raise PeerError("this version does not write animations")
        variants = tuple(
            Variant(
                path_of(folder, each).name,
                each.format,
                Look(box=each.box),
                Settings(quality=each.quality),
            )
            for each in outputs
        )
        limits = Limits(max_pixels=_MOST_PIXELS, threads=self.threads)
        try:
            self._converter.convert(Plan(source, folder, variants, limits))
        except PictureError as error:
            raise PeerError(f"{error.code}: {error}") from error

    def cpu_s(self) -> float:
        """See ``Runner``."""
        # The child starts with the first job.
        return _cpu_s(self._converter.pid) if self._converter.pid else 0.0

    def peak_bytes(self) -> int:
        """See ``Runner``."""
        assert self._converter.pid
        return _peak_bytes(self._converter.pid)

    def close(self) -> None:
        """See ``Runner``."""
        self._converter.close()


class Program:
    """A peer that reads jobs from its standard input (see ``benchmarks.engine.programs``)."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        )
        self._answer: dict[str, Any] = {"cpu_s": 0.0, "rss": 0}

    def run(self, source: Path, outputs: Sequence[Output], folder: Path) -> None:
        """See ``Runner``."""
        assert self._process.stdin
        assert self._process.stdout
        asked = [each.to_json(path_of(folder, each)) for each in outputs]
        job = {"source": str(source), "outputs": asked}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise PeerError(f"it ended with status {self._process.wait()}")
        self._answer = json.loads(line)
        if "error" in self._answer:
            raise PeerError(str(self._answer["error"]).strip().replace("\n", " ")[-200:])

    def cpu_s(self) -> float:
        """See ``Runner``."""
        return _cpu_s(self._process.pid) + float(self._answer["cpu_s"])

    def peak_bytes(self) -> int:
        """See ``Runner``."""
        children = int(self._answer["rss"])
        return children or _peak_bytes(self._process.pid)

    def close(self) -> None:
        """See ``Runner``."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def _cpu_s(pid: int) -> float:
    """The CPU clock of another process (clock_getcpuclockid), finer than the ticks of /proc."""
    return time.clock_gettime((~pid << 3) | 2)


def _peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024
