"""What was measured, beside the limits that it must keep."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.accounting import ENGINE, PEERS, Cost, ours
from benchmarks.load.run import Outcome
from benchmarks.spread import percentile


@dataclass(frozen=True)
class Limit:
    """One figure and whether it is good enough; None: too little was run to say."""

    what: str
    where: str
    measured: str
    met: bool | None


@dataclass
class Report:
    """Prints as it goes, and judges at the end."""

    limits: list[Limit] = field(default_factory=list)

    def say(self, text: str) -> None:
        print(text, flush=True)

    def judge(self, what: str, where: str, measured: str, *, met: bool | None) -> None:
        self.limits.append(Limit(what, where, measured, met))

    def table(self) -> Iterator[str]:
        """All limits, as Markdown."""
        yield from ("| limit | on | measured | met |", "|---|---|---|---|")
        words = {True: "yes", False: "**no**", None: "too few to say"}
        for each in self.limits:
            yield f"| {each.what} | {each.where} | {each.measured} | {words[each.met]} |"

    @property
    def good(self) -> bool:
        """No limit was missed."""
        return all(each.met is not False for each in self.limits)


def describe(found: Outcome) -> Iterator[str]:
    """A run in some lines."""
    taken, refused = len(found.log.sent), dict(found.log.refused)
    yield (
        f"  {taken} taken in {found.accepted_s:.1f} s, all done in {found.wall_s:.1f} s"
        f" ({found.rate:.1f} jobs/s); refused for a while: {refused or 'none'}"
    )
    for name, seconds in (
        ("upload", found.upload_s()),
        ("upload to done", found.upload_to_done_s()),
        ("claim to done", found.claim_to_done_s()),
    ):
        p50, p99 = percentile(seconds, 50), percentile(seconds, 99)
        yield f"  {name}: p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms"
    yield f"  CPU per job, ms: {costs(found.cost_ms)}"


def costs(cost: Cost) -> str:
    """Each part's, and the engine's share."""
    parts = ", ".join(f"{name} {spent:.1f}" for name, spent in cost.items())
    whole, own = sum(cost.values()), ours(cost)
    with_peers = f", of all {cost[ENGINE] / whole:.1%}" if set(cost) & set(PEERS.values()) else ""
    return f"{parts}; all {whole:.1f}; the engine's share {cost[ENGINE] / own:.1%}{with_peers}"
