"""The parts of the load suite that run on one server."""

from benchmarks.accounting import ENGINE, PEERS, ours
from benchmarks.load.fairness import VISITS
from benchmarks.load.pictures import mixed, sized, variants_of
from benchmarks.load.report import Report, describe
from benchmarks.load.run import Outcome, measure
from benchmarks.load.stacks import workers
from benchmarks.main_job import MEGAPIXELS, idle_shares, upload_to_claim
from benchmarks.spread import percentile
from tests.server import EXAMPLE_JOB, IMAGES, Pixerve

CONCURRENCY = 64
MEMORY_WITHIN = 0.05
SHARE = 0.85
P50_MS, P99_MS = 10.0, 30.0
IDLE_PERCENT = 1.0
_IDLE_S = 30.0
_FEW = 8
_ENOUGH = 100  # of uploads one by one, to judge by
_STEADY_FROM, _STRANGERS_FROM, _EXAMPLES_FROM = 1_000_000, 2_000_000, 3_000_000


def burst(server: Pixerve, where: str, uploads: int, report: Report) -> None:
    """All at once, as fast as they are taken, while strangers come by with one upload each."""
    report.say(f"{where}: {uploads} uploads of mixed sizes at concurrency {CONCURRENCY}")
    small = (IMAGES / "pil_hopper.jpg").read_bytes()
    visits = range(_STRANGERS_FROM, _STRANGERS_FROM + min(VISITS, max(1, uploads // 10)))
    strangers = variants_of(small), visits
    found = measure(server, EXAMPLE_JOB, mixed(), range(uploads), CONCURRENCY, strangers=strangers)
    _show(found, report)
    _judge_all(found, where, uploads, report)
    _judge_memory(found, where, report)
    most = max((each.overtaken_by for each in found.visits), default=0)
    waiting = [each.waiting for each in found.visits]
    report.say(f"  strangers came while {waiting} jobs waited; at most {most} went before theirs")
    met = most <= workers() if any(waiting) else None
    text = f"{most} of up to {max(waiting, default=0)}"
    report.judge(f"a tenant's jobs before a stranger's ≤ {workers()}", where, text, met=met)


def steady(server: Pixerve, where: str, uploads: int, report: Report) -> None:
    """A new one whenever one is done, so that few wait."""
    report.say(f"{where}: {uploads} uploads, {CONCURRENCY} jobs under way at a time")
    numbers = range(_STEADY_FROM, _STEADY_FROM + uploads)
    found = measure(server, EXAMPLE_JOB, mixed(), numbers, CONCURRENCY, in_flight=CONCURRENCY)
    _show(found, report)
    _judge_all(found, f"{where}, steady", uploads, report)


def example(server: Pixerve, where: str, uploads: int, report: Report) -> None:
    """The documented example, a few at a time, as in `benchmarks.main_job`."""
    report.say(
        f"{where}: {uploads} uploads of the example, {MEGAPIXELS} megapixels, {_FEW} at a time"
    )
    numbers = range(_EXAMPLES_FROM, _EXAMPLES_FROM + uploads)
    found = measure(server, EXAMPLE_JOB, sized(MEGAPIXELS), numbers, _FEW, in_flight=_FEW)
    _show(found, report)
    own = found.cost[ENGINE] / ours(found.cost)
    label = f"the engine's share of all CPU ≥ {SHARE:.0%}"
    if set(found.cost) & set(PEERS.values()):
        whole = found.cost[ENGINE] / sum(found.cost.values())
        met = whole >= SHARE if uploads >= _ENOUGH else None
        report.judge(label, f"{where}, its own CPU included", f"{whole:.1%}", met=met)
        where = f"{where}, without its own CPU"
    met = own >= SHARE if uploads >= _ENOUGH else None
    report.judge(label, where, f"{own:.1%}", met=met)


def idle(servers: list[Pixerve], where: str, uploads: int, report: Report) -> None:
    """From upload to claim where nothing else happens, and what it costs to wait."""
    numbers = range(uploads)
    waits, answers = upload_to_claim(servers, numbers)
    p50, p99 = percentile(waits, 50), percentile(waits, 99)
    report.say(
        f"{where}: {uploads} uploads, one by one: to claim p50 {p50:.1f} ms, p99 {p99:.1f} ms;"
        f" answered p50 {percentile(answers, 50):.1f} ms, p99 {percentile(answers, 99):.1f} ms"
    )
    for name, value, limit in (("p50", p50, P50_MS), ("p99", p99, P99_MS)):
        met = value <= limit if uploads >= _ENOUGH else None
        report.judge(f"upload to claim, {name} ≤ {limit:g} ms", where, f"{value:.1f} ms", met=met)
    for number, server in enumerate(servers, 1):
        label = where if len(servers) == 1 else f"{where}, host {number}"
        shares = idle_shares(server, _IDLE_S if uploads >= _ENOUGH else 2.0)
        total = sum(shares.values())
        parts = ", ".join(f"{name} {value:.2f}" for name, value in shares.items())
        report.say(f"  idle, percent of a core: {parts}; all {total:.2f}")
        text = f"{total:.2f} %"
        met = total < IDLE_PERCENT if uploads >= _ENOUGH else None
        report.judge(f"idle cost < {IDLE_PERCENT:g} % of a core", label, text, met=met)


def _show(found: Outcome, report: Report) -> None:
    for line in describe(found):
        report.say(line)


def _judge_all(found: Outcome, where: str, uploads: int, report: Report) -> None:
    """Every upload was taken, every job completed, every file is there."""
    errors, taken = found.log.errors, len(found.log.sent)
    for error in errors[:5]:
        report.say(f"  error: {error}")
    report.judge("errors but deliberate 429 and 503 = 0", where, str(len(errors)), met=not errors)
    text = f"{found.lost} of {taken}"
    met = found.lost == 0 and taken + len(errors) >= uploads
    report.judge("taken and not completed = 0", where, text, met=met)
    report.judge("files missing = 0", where, str(found.missing), met=found.missing == 0)


def _judge_memory(found: Outcome, where: str, report: Report) -> None:
    """Flat: no more at the end than once it was warm."""
    for at in (0.2, 0.5, 1.0):
        looks = [each for each in found.memory if each[0] <= at * len(found.jobs)]
        if looks:
            count, used = looks[-1]
            parts = ", ".join(f"{name} {mib:.0f}" for name, mib in sorted(used.items()))
            report.say(f"  memory at {count} jobs, MiB: {sum(used.values()):.0f} ({parts})")
    growth = found.memory_growth()
    met = None if growth is None else growth <= MEMORY_WITHIN
    text = "" if growth is None else f"{growth:+.1%}"
    report.judge(f"memory gained ≤ {MEMORY_WITHIN:.0%}", where, text, met=met)
