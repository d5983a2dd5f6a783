"""Quality, cost and memory of one peer at one workload."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.engine.peers import Peer
from benchmarks.engine.quality import similarity
from benchmarks.engine.runners import Runner, path_of
from benchmarks.engine.workloads import Output, Workload, with_quality

_SAMPLE_S = 0.3
"""A sample is as many jobs as fill this time."""


@dataclass
class Result:
    """What one peer did with one picture; seconds are of one job, one entry for each round."""

    cpu_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    bytes: dict[str, int] = field(default_factory=dict)
    """By format."""
    ssim: dict[str, float] = field(default_factory=dict)
    """By format, the mean over its outputs."""

    @property
    def cpu(self) -> float:
        """The median CPU seconds of one job."""
        return median(self.cpu_s)

    @property
    def wall(self) -> float:
        """The median wall-clock seconds of one job."""
        return median(self.wall_s)


def outputs_for(peer: Peer, workload: Workload) -> tuple[Output, ...]:
    """What the peer is asked for: our boxes with its own qualities."""
    qualities = {kind: q for (name, kind), q in peer.qualities.items() if name == workload.name}
    return with_quality(workload.outputs, qualities, equal_effort=peer.equal_effort)


@contextmanager
def running(peer: Peer, threads: int = 1) -> Iterator[Runner]:
    """A fresh process of ``peer``."""
    runner = peer.start(threads)
    try:
        yield runner
    finally:
        runner.close()


def judge(peer: Peer, source: Path, outputs: Sequence[Output]) -> Result:
    """Bytes, SSIM, and the peak memory of a fresh process that does this one job."""
    result = Result()
    with tempfile.TemporaryDirectory() as folder, running(peer) as runner:
        runner.run(source, outputs, Path(folder))
        result.peak_bytes = runner.peak_bytes()
        for kind in dict.fromkeys(each.format for each in outputs):
            paths = [path_of(Path(folder), each) for each in outputs if each.format == kind]
            result.bytes[kind] = sum(path.stat().st_size for path in paths)
            result.ssim[kind] = sum(similarity(source, path) for path in paths) / len(paths)
    return result


def take_turns(
    jobs: dict[str, tuple[Peer, tuple[Output, ...]]],
    source: Path,
    results: dict[str, Result],
    *,
    rounds: int,
    threads: int = 1,
) -> None:
    """Fill in the seconds: every round asks each peer once, in turn, after a warm-up."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runners = {key: peer.start(threads) for key, (peer, _) in jobs.items()}
        try:
            repeats = {
                key: _warm_up(runners[key], source, outputs, folder)
                for key, (_, outputs) in jobs.items()
            }
            for _ in range(rounds):
                for key, (_, outputs) in jobs.items():
                    cpu, wall = _sample(runners[key], source, outputs, folder, repeats[key])
                    results[key].cpu_s.append(cpu)
                    results[key].wall_s.append(wall)
        finally:
            for runner in runners.values():
                runner.close()


def _warm_up(runner: Runner, source: Path, outputs: Sequence[Output], folder: Path) -> int:
    """How many jobs make a sample."""
    _sample(runner, source, outputs, folder, 2)
    _, wall = _sample(runner, source, outputs, folder, 1)
    return max(1, round(_SAMPLE_S / wall))


def _sample(
    runner: Runner, source: Path, outputs: Sequence[Output], folder: Path, repeats: int
) -> tuple[float, float]:
    cpu, wall = runner.cpu_s(), time.perf_counter()
    for _ in range(repeats):
        runner.run(source, outputs, folder)
    return (runner.cpu_s() - cpu) / repeats, (time.perf_counter() - wall) / repeats
