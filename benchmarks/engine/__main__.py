"""Measure the picture engine beside its peers, and print the tables of docs/benchmarks.md.

    python -m benchmarks.engine [--workloads W1,W2] [--pictures 6,12] [--peers sharp] [--rounds 5]

Peers are fetched into the cache folder; one that cannot be had is skipped with its reason. CPU is
measured on one thread for each peer, in rounds that ask everybody in turn.
"""

import argparse
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.engine import pictures
from benchmarks.engine.calibrate import calibrate
from benchmarks.engine.install import Installed
from benchmarks.engine.measure import Result, judge, outputs_for, take_turns
from benchmarks.engine.peers import Peer, ours, peers
from benchmarks.engine.runners import PeerError
from benchmarks.engine.table import OURS, Case, rows, targets
from benchmarks.engine.workloads import WORKLOADS, Workload

_CALIBRATED_ON = "6"
_TWO_CORES = "W2"


def say(text: str) -> None:
    """Progress goes beside the tables."""
    print(text, file=sys.stderr, flush=True)


class Benchmark:
    """All measurements of one run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._rounds: int = options.rounds
        self._photo: Path = options.photo
        self._folder = Path(options.cache)
        self._wanted = [each for each in options.pictures.split(",") if each]
        self._names = [each for each in options.workloads.split(",") if each]
        self.ours = ours()
        everybody = peers(Installed(self._folder), say)
        self.others = [peer for peer in everybody if options.peers in peer.name]
        (self._folder / "pictures").mkdir(parents=True, exist_ok=True)

    def run(self) -> list[Case]:
        """Every wanted workload on every wanted picture."""
        cases = []
        for workload in WORKLOADS:
            wanted = [each for each in workload.pictures if each in (self._wanted or [each])]
            if wanted and (not self._names or workload.name in self._names):
                cases += self._workload(workload, wanted)
        return cases

    def _workload(self, workload: Workload, wanted: list[str]) -> list[Case]:
        try:
            able = self._calibrated(workload, wanted)
        except PeerError as error:
            say(f"skipped {workload.name}: {error}")
            return []
        return [self._case(workload, picture, able) for picture in wanted]

    def _calibrated(self, workload: Workload, wanted: list[str]) -> list[Peer]:
        """Those who can do it, each brought to our bytes on one of the pictures."""
        picture = _CALIBRATED_ON if _CALIBRATED_ON in wanted else wanted[-1]
        source = self._picture(picture)
        aim = judge(self.ours, source, outputs_for(self.ours, workload))
        able = []
        for peer in self.others:
            try:
                calibrate(peer, workload, source, aim, say)
                able.append(peer)
            except PeerError as error:
                say(f"skipped {peer.name} at {workload.name}: {error}")
        return able

    def _case(self, workload: Workload, picture: str, able: list[Peer]) -> Case:
        source = self._picture(picture)
        say(f"measuring {workload.name} on {picture}")
        jobs = {peer.name: (peer, outputs_for(peer, workload)) for peer in [self.ours, *able]}
        results = {name: judge(peer, source, asked) for name, (peer, asked) in jobs.items()}
        take_turns(jobs, source, results, rounds=self._rounds)
        both: dict[str, Result] = {}
        if workload.name == _TWO_CORES:
            jobs = {name: job for name, job in jobs.items() if name == OURS or "sharp" in name}
            both = {name: Result() for name in jobs}
            take_turns(jobs, source, both, rounds=self._rounds, threads=2)
        return Case(workload.name, picture, results, both)

    def _picture(self, name: str) -> Path:
        return pictures.make(self._folder / "pictures", name, self._photo)


def _machine() -> str:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    model = models[0] if models else platform.machine()
    return (
        f"{os.cpu_count()} cores ({model}), {platform.system()}, Python {platform.python_version()}"
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pixerve-benchmarks"
    parser.add_argument("--workloads", default="", help="such as W1,W3; all if left out")
    parser.add_argument("--pictures", default="", help="such as 6,12; all if left out")
    parser.add_argument("--peers", default="", help="only those whose name contains this")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--photo", type=Path, default=pictures.PHOTO, help="what is enlarged")
    parser.add_argument("--cache", default=str(cache), help="where peers and pictures are kept")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    # Two cores, whatever the machine has: that is what the targets are about.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    benchmark = Benchmark(_parse())
    cases = benchmark.run()
    versions = dict.fromkeys(peer.version for peer in [benchmark.ours, *benchmark.others])
    print(f"{datetime.now(UTC):%Y-%m-%d}, {_machine()}; " + "; ".join(versions) + ".")
    print(f"Command: `python -m benchmarks.engine {' '.join(sys.argv[1:])}`\n")
    print("\n".join(targets(cases)))
    for case in cases:
        print("\n".join(rows(case)))


if __name__ == "__main__":
    main()
