"""What a core does: jobs per second of a whole server on one core, by workload.

    python -m benchmarks.sizing [--jobs 60] [--workloads avatar W1 …]

The server, with one worker, is held to one core, the client to another one. CPU is per job: of the
converter child, and of all the rest (the answer to the upload, claim, files, records).
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accounting import ENGINE, on_cores, ours
from benchmarks.engine import pictures
from benchmarks.engine.workloads import WORKLOADS, Output
from benchmarks.load.pictures import variants_of
from benchmarks.load.run import Outcome, measure
from benchmarks.load.stacks import held_to, two_cores, warmed
from tests.server import Pixerve

_IN_FLIGHT = 4
_WARM = 3
_SEEN = {
    "W1": ("2", "6", "12"),
    "W2": ("6",),
    "W3": ("6",),
    "PNG": ("alpha",),
    "ANIM": ("animation",),
}


@dataclass(frozen=True)
class Workload:
    """One kind of upload: `picture` as `benchmarks.engine.pictures` names it, and the job."""

    name: str
    title: str
    picture: str
    job: dict[str, Any]


def _job(*outputs: Output) -> dict[str, Any]:
    formats: dict[str, Any] = {}
    for each in outputs:
        settings = {"quality": each.quality}
        wanted = formats.setdefault(each.format, {"settings": settings, "sizes": []})
        wanted["sizes"].append(list(each.box))
    return {"formats": formats, "directHost": True}


def workloads() -> list[Workload]:
    """Those of docs/benchmarks.md, and what else applications do with uploads."""
    cover = {"formats": {"jpg": {"sizes": [[256]], "fit": "cover"}}, "directHost": True}
    keep = {"formats": {}, "keepOriginal": True, "directHost": True}
    web = _job(*(Output("jpg", (side, side), 80) for side in (1600, 800, 400)))
    avif = _job(Output("avif", (1600, 1600), 50))
    return [
        Workload("keep", "nothing but the original, as it is", "6", keep),
        Workload("avatar", "one square jpg of 256", "0.3", cover),
        Workload("web", "jpg q80 at 1600, 800 and 400", "2", web),
        Workload("AVIF", "one avif q50 at 1600", "2", avif),
        *(
            Workload(each.name, each.title, picture, _job(*each.outputs))
            for each in WORKLOADS
            for picture in _SEEN.get(each.name, ())
        ),
    ]


def run(server: Pixerve, workload: Workload, folder: Path, first: int, jobs: int) -> Outcome:
    """So many of this workload, after some to warm up. Raises AssertionError where one fails."""
    picture = variants_of(pictures.make(folder, workload.picture).read_bytes())
    for numbers in (range(first, first + _WARM), range(first + _WARM, first + _WARM + jobs)):
        found = measure(server, workload.job, picture, numbers, 2, in_flight=_IN_FLIGHT)
        assert not found.lost + len(found.log.errors), (workload.name, found.log.errors[:3])
    return found


def main() -> None:
    everything = workloads()
    names = sorted({each.name for each in everything})
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("--workloads", nargs="+", choices=names, default=names)
    options = parser.parse_args()
    theirs, mine = two_cores()
    print("| workload | from | jobs/s on a core | engine, CPU ms | beside it, CPU ms | share |")
    print("|---|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(prefix="pixerve-bench-") as name, on_cores({mine}):
        folder, first = Path(name), 0
        with held_to(theirs, folder / "server") as server:
            warmed(server)
            for each in everything:
                if each.name in options.workloads:
                    show(each, run(server, each, folder, first, options.jobs))
                    first += _WARM + options.jobs


def show(workload: Workload, found: Outcome) -> None:
    """One row of the table."""
    engine, all_of_it = found.cost_ms[ENGINE], ours(found.cost_ms)
    source = workload.picture.replace("alpha", "2 MP PNG")
    source = f"{source} MP" if source.replace(".", "").isdigit() else source
    print(
        f"| {workload.name}: {workload.title} | {source} | {found.rate:.1f} | {engine:.0f}"
        f" | {all_of_it - engine:.0f} | {engine / all_of_it:.0%} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
