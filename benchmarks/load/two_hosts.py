"""What a second host of workers brings: jobs that wait already, done by one host or by two, each
with one worker and a core of its own, on one PostgreSQL, Redis and bucket.

Those run on the same two cores. And two cores of one machine are seldom twice one: they share
caches and memory, and sometimes they are one core that is shown twice. So it is measured, too, what
bare converters do without any server, and what a job costs one host while the other core is as busy
with the conversions of a stranger.
"""

import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.accounting import Cost, between, cpu, on_cores, ours
from benchmarks.engine import pictures, runners
from benchmarks.engine.workloads import WORKLOADS
from benchmarks.load import suite
from benchmarks.load.client import upload_all
from benchmarks.load.pictures import sized
from benchmarks.load.report import Report, costs
from benchmarks.load.stacks import held_to, workers
from benchmarks.load.watch import Gate, Watch, say
from tests.acceptance import hosts
from tests.delivery.backends.conftest import make_client
from tests.peers import ceph, postgres, redis
from tests.server import EXAMPLE_JOB, Pixerve, make_token, running, wait_for

MEGAPIXELS = 2
ROUNDS = 2
TIMES, WITHIN = 1.8, 0.05
_WARM = 3
_ENOUGH = 100
_BARE_S = 10.0
_W1 = WORKLOADS[0]


def missing() -> str | None:
    """Why this machine cannot do it."""
    return hosts.missing() or ("it takes two cores" if workers() < 2 else None)


@dataclass(frozen=True)
class Rate:
    """Jobs per second, and CPU milliseconds of each by part."""

    jobs_per_s: float
    cost_ms: Cost


@contextmanager
def converting(cores: Sequence[int], folder: Path) -> Iterator[list[int]]:
    """Bare converters, one on each of these cores, that do the example's conversion over and over;
    how often each did."""
    source, over = pictures.make(folder, str(MEGAPIXELS)), threading.Event()
    counts = [0] * len(cores)

    def work(at: int) -> None:
        with on_cores({cores[at]}), closing(runners.Pixerve()) as runner:
            out = folder / f"out-{at}"
            out.mkdir(exist_ok=True)
            while not over.is_set():
                runner.run(source, _W1.outputs, out)
                counts[at] += 1

    threads = [threading.Thread(target=work, args=(at,)) for at in range(len(cores))]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: all(count >= _WARM for count in counts), what="warm converters")
        yield counts
    finally:
        over.set()
        for thread in threads:
            thread.join()


def bare_rate(cores: Sequence[int], folder: Path, seconds: float) -> float:
    """Conversions per second of all of them together."""
    with converting(cores, folder) as counts:
        before, begun = sum(counts), time.monotonic()
        wait_for(lambda: time.monotonic() > begun + seconds, within_s=seconds + 5)
        return (sum(counts) - before) / (time.monotonic() - begun)


@dataclass
class Site:
    """Where hosts are put: what they share, and a host that only takes uploads."""

    folder: Path
    shared: dict[str, Any]
    web: Pixerve
    taken: int = 0

    def stage(self, jobs: int) -> None:
        """Upload, while there are no workers."""
        token = make_token(EXAMPLE_JOB)
        numbers = range(self.taken, self.taken + jobs)
        self.taken += jobs
        picture, gate = sized(MEGAPIXELS), Gate(None)
        log = upload_all(self.web, token, picture, numbers, concurrency=8, gate=gate)
        assert len(log.sent) == jobs, log.errors[:3]

    def work_off(self, cores: Collection[int], jobs: int) -> Rate:
        """Have these jobs done by one host on each of the cores. What is measured is from when each
        has done some until few are left."""
        with closing(Watch(self.web, jobs)) as watch, ExitStack() as stack:
            self.stage(jobs)
            servers = [stack.enter_context(self._host(core)) for core in cores]
            wait_for(
                lambda: all(each.log.count(" completed") >= _WARM for each in servers),
                within_s=120,
                what="the first jobs of each host",
            )
            before, done, begun = cpu(*servers), watch.count, time.monotonic()
            watch.wait(jobs - 2 * len(servers))
            after, more, over = cpu(*servers), watch.count, time.monotonic()
            watch.wait(jobs)
        return Rate((more - done) / (over - begun), between(before, after, (more - done) / 1000))

    @contextmanager
    def _host(self, core: int) -> Iterator[Pixerve]:
        # Each with a folder, and so a log, of its own.
        with (
            tempfile.TemporaryDirectory(dir=self.folder) as place,
            held_to(core, Path(place), parts=("cluster", "clerk"), **self.shared) as server,
        ):
            yield server


@contextmanager
def site(folder: Path, gateway: ceph.Ceph) -> Iterator[Site]:
    """A bucket, PostgreSQL, Redis, and the host for uploads."""
    client, bucket = make_client(gateway), ceph.bucket_name()
    client.create_bucket(Bucket=bucket)
    with postgres.running(durable=True) as database, redis.running() as broker:
        shared: dict[str, Any] = hosts.settings(
            database.make("pixerve"), broker.url, gateway, gateway.endpoint, bucket
        )
        with running(folder / "web", parts=("web",), **shared) as web:
            yield Site(folder, shared, web)


def compare(uploads: int, report: Report) -> None:
    """Idle hosts, and how two that work compare with one."""
    with tempfile.TemporaryDirectory(prefix="pixerve-load-") as name:
        folder = Path(name)
        (folder / "ceph").mkdir()
        with ceph.running(folder / "ceph") as gateway:
            with hosts.two_hosts(folder, gateway, make_client(gateway), proxied=False) as both:
                suite.idle([both.a, both.b], "two hosts", min(uploads, 300), report)
            with site(folder, gateway) as found:
                _scale(found, max(20, min(300, uploads // 25)), report)


def _scale(found: Site, jobs: int, report: Report) -> None:
    report.say(f"two hosts: {jobs} waiting jobs, the example from {MEGAPIXELS} megapixels")
    seconds = _BARE_S if jobs >= _ENOUGH else 2.0
    rates: dict[str, list[Rate]] = {"one": [], "beside": [], "two": []}
    bare: list[float] = []
    for round_ in range(ROUNDS):
        say(f"    round {round_ + 1} of {ROUNDS}")
        one = bare_rate([0], found.folder, seconds)
        bare.append(bare_rate([0, 1], found.folder, seconds) / one)
        rates["one"].append(found.work_off([0], jobs))
        with converting([1], found.folder):
            rates["beside"].append(found.work_off([0], jobs))
        rates["two"].append(found.work_off([0, 1], jobs))
    for label, key in (
        ("one host", "one"),
        ("one host, the other core as busy", "beside"),
        ("two hosts", "two"),
    ):
        middle = sorted(rates[key], key=lambda each: each.jobs_per_s)[(ROUNDS - 1) // 2]
        report.say(
            f"  {label}: {middle.jobs_per_s:.1f} jobs/s; CPU per job, ms: {costs(middle.cost_ms)}"
        )
    _judge(rates, median(bare), report, enough=jobs >= _ENOUGH)


def _judge(
    rates: Mapping[str, Sequence[Rate]], bare: float, report: Report, *, enough: bool
) -> None:
    pairs = list(zip(rates["one"], rates["beside"], rates["two"], strict=True))
    times = median(two.jobs_per_s / one.jobs_per_s for one, _, two in pairs)
    dearer = median(ours(two.cost_ms) / ours(one.cost_ms) for one, _, two in pairs) - 1
    fairer = median(ours(two.cost_ms) / ours(each.cost_ms) for _, each, two in pairs) - 1
    report.judge(
        f"two hosts ≥ {TIMES} × one, or CPU per job within {WITHIN:.0%}",
        f"PostgreSQL, Redis, bucket; two bare converters do {bare:.2f} × one",
        f"{times:.2f} ×; CPU per job {dearer:+.1%}, beside an equally busy core {fairer:+.1%}",
        met=(times >= TIMES or min(dearer, fairer) <= WITHIN) if enough else None,
    )
