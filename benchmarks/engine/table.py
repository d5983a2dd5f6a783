"""The results as Markdown."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median

from benchmarks.engine.calibrate import SSIM_WITHIN, equal_bytes
from benchmarks.engine.measure import Result

OURS = "Pixerve"
_MIB = 1 << 20
_NAMES = {"2": "2 MP", "6": "6 MP", "12": "12 MP", "24": "24 MP", "100": "100 MP"}
_HEAD = (
    "| peer | CPU ms | ours / peer | wall ms | ours / peer | peak MiB | ours / peer "
    "| bytes, ours / peer | SSIM, peer − ours |"
)


@dataclass
class Case:
    """One workload on one picture; ``results`` by peer, ours first."""

    workload: str
    picture: str
    results: dict[str, Result]
    two_cores: dict[str, Result]

    @property
    def title(self) -> str:
        """Such as "W1, 6 MP"."""
        return f"{self.workload}, {_NAMES.get(self.picture, self.picture)}"


def ratio(mine: Iterable[float], theirs: Iterable[float]) -> float:
    """The median of the rounds' ratios: what troubles a machine troubles a whole round."""
    return median(one / other for one, other in zip(mine, theirs, strict=True))


def rows(case: Case) -> Iterator[str]:
    """The table of one case."""
    yield from (f"### {case.title}", "", _HEAD, "|---|" + "---:|" * 6 + "---|---|")
    mine = case.results[OURS]
    for name, result in case.results.items():
        yield _row(name, mine, result)
    yield ""
    if case.two_cores:
        yield from (
            "On two cores:",
            "",
            "| peer | wall ms | CPU ms | wall / CPU |",
            "|---|---:|---:|---:|",
        )
        for name, result in case.two_cores.items():
            share = ratio(result.wall_s, result.cpu_s)
            yield f"| {name} | {result.wall * 1e3:.0f} | {result.cpu * 1e3:.0f} | {share:.2f} |"
        yield ""


def _row(name: str, mine: Result, result: Result) -> str:
    cells = [name, f"{result.cpu * 1e3:.1f}", f"{ratio(mine.cpu_s, result.cpu_s):.2f}"]
    cells += [f"{result.wall * 1e3:.1f}", f"{ratio(mine.wall_s, result.wall_s):.2f}"]
    cells += [f"{result.peak_bytes / _MIB:.0f}", f"{mine.peak_bytes / result.peak_bytes:.2f}"]
    cells += [", ".join(_bytes(kind, mine, result) for kind in result.bytes)]
    cells += [", ".join(_ssim(kind, mine, result) for kind in result.ssim)]
    return "| " + " | ".join(cells) + " |"


def _bytes(kind: str, mine: Result, result: Result) -> str:
    mark = "" if equal_bytes(mine.bytes[kind], result.bytes[kind]) else " (!)"
    return f"{kind} {mine.bytes[kind] / result.bytes[kind]:.2f}{mark}"


def _ssim(kind: str, mine: Result, result: Result) -> str:
    if result is mine:
        return f"{kind} {mine.ssim[kind]:.4f}"
    differs = result.ssim[kind] - mine.ssim[kind]
    mark = "" if abs(differs) <= SSIM_WITHIN else " (!)"
    return f"{kind} {differs:+.4f}{mark}"


def targets(cases: list[Case]) -> Iterator[str]:
    """Each target of the engine, with what was measured for it."""
    yield from ("| target | on | measured | met |", "|---|---|---:|---|")
    for case in cases:
        for words, value, limit, unit in _targets(case):
            met = "yes" if value <= limit else "**no**"
            yield f"| {words} ≤ {limit:g}{unit} | {case.title} | {value:.2f}{unit} | {met} |"
    yield ""


def _targets(case: Case) -> Iterator[tuple[str, float, float, str]]:
    mine, sharp = case.results[OURS], case.results.get("sharp, decode once, equal effort")
    if sharp and case.workload in {"W1", "W2", "W3"}:
        yield "CPU, ours / sharp", ratio(mine.cpu_s, sharp.cpu_s), 1.0, ""
    if sharp:
        yield "peak memory, ours / sharp", mine.peak_bytes / sharp.peak_bytes, 1.2, ""
    if OURS in case.two_cores:
        both = case.two_cores[OURS]
        yield "wall / CPU on two cores", ratio(both.wall_s, both.cpu_s), 0.6, ""
    if case.workload == "100MP":
        yield "peak memory", mine.peak_bytes / _MIB, 100, " MiB"
        yield "wall", mine.wall, 0.7, " s"
