"""What the main job costs: uploads of the documented example against a whole local server.

    python -m benchmarks.main_job [--uploads 200] [--concurrency 8]

Prints CPU time per job by part of the server (the converter child aside, that is the engine's
overhead), memory of all processes at the 50th and the last job, the slowest answer of /health under
load; the CPU time of jobs that come one after the other, which hyper-threads that share a core do
not inflate; and on an idle machine the time from upload to claim and the cost of waiting.
"""

import argparse
import sqlite3
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from benchmarks.accounting import ENGINE, Cost, between, cpu_by_role, memory_by_role
from benchmarks.load.pictures import distinct, jpeg
from benchmarks.spread import p50_p99
from tests.server import EXAMPLE_JOB, IMAGES, Pixerve, make_token, running, wait_for

IDLE_S = 15.0
SMALL_JOB = {"formats": {"jpg": {"sizes": [[50]]}}, "directHost": True}
MEGAPIXELS = 6


class HealthWatch(threading.Thread):
    """Asks /health twice a second and keeps the slowest answer."""

    def __init__(self, server: Pixerve) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._done = threading.Event()
        self.slowest_s = 0.0

    def run(self) -> None:
        while not self._done.wait(0.5):
            started = time.monotonic()
            assert self._server.get("/health").status == 200
            self.slowest_s = max(self.slowest_s, time.monotonic() - started)

    def stop(self) -> float:
        self._done.set()
        self.join()
        return self.slowest_s


def under_load(server: Pixerve, picture: bytes, uploads: int, concurrency: int) -> None:
    token = make_token(EXAMPLE_JOB)
    warm = server.upload(distinct(picture, 0), token).json()["hash"]
    server.wait_end(warm, token)

    def one(number: int) -> str:
        answer = server.upload(distinct(picture, number), token)
        assert answer.status == 202, answer.body
        return str(answer.json()["hash"])

    health = HealthWatch(server)
    health.start()
    before, started = cpu_by_role(server), time.monotonic()
    with ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(one, range(1, uploads + 1)))
    accepted_s = time.monotonic() - started
    wait_until_done(server, min(50, uploads))
    early = memory_by_role(server)
    wait_until_done(server, uploads)
    spent_s = time.monotonic() - started
    after, late = cpu_by_role(server), memory_by_role(server)
    slowest = health.stop()

    print(f"{uploads} uploads at concurrency {concurrency}: none failed, none lost")
    print(f"  accepted in {accepted_s:.1f} s, all done in {spent_s:.1f} s")
    print_cost(before, after, uploads)
    print(f"  slowest /health: {slowest * 1000:.0f} ms")
    print(f"  memory, MiB (PSS), 50th → last: {sum(early.values()):.0f} → {sum(late.values()):.0f}")
    for name in sorted(late):
        print(f"    {name:10} {early.get(name, 0):6.0f} → {late[name]:.0f}")


def print_cost(before: Cost, after: Cost, jobs: int) -> None:
    cost = between(before, after, jobs / 1000)
    overhead = sum(value for name, value in cost.items() if name != ENGINE)
    print("  CPU per job, ms: " + ", ".join(f"{k} {v:.1f}" for k, v in cost.items()))
    print(f"  beside the child: {overhead:.1f} ms, {overhead / cost[ENGINE]:.2f} of the child's")


def one_after_the_other(server: Pixerve, picture: bytes, done: int, jobs: int = 40) -> None:
    """`done` uploads are over already."""
    token = make_token(EXAMPLE_JOB)
    before = cpu_by_role(server)
    for number in range(done + 1, done + jobs + 1):
        assert server.upload(distinct(picture, number), token).status == 202
        wait_until_done(server, number)
    print(f"{jobs} uploads one after the other")
    print_cost(before, cpu_by_role(server), jobs)


def wait_until_done(server: Pixerve, count: int) -> None:
    """Look into the job table itself, so that looking costs the server nothing."""
    database = sqlite3.connect(f"file:{server.data}/pixerve.sqlite3?mode=ro", uri=True)
    query = "SELECT state = 'completed', COUNT(*) FROM jobs_job WHERE finished_at > 0 GROUP BY 1"

    def done() -> bool:
        found = dict(database.execute(query).fetchall())
        assert not found.get(0), "a job did not complete"
        # The warm-up is one more.
        return bool(found.get(1, 0) >= count + 1)

    wait_for(done, within_s=600, every_s=0.05, what=f"{count} completed jobs")
    database.close()


def upload_to_claim(servers: Sequence[Pixerve], numbers: range) -> tuple[list[float], list[float]]:
    """Milliseconds from upload to claim, and of the upload's answer, where nothing else happens:
    one upload after the other, to these servers in turns."""
    token = make_token(SMALL_JOB)
    small = (IMAGES / "pil_hopper.jpg").read_bytes()
    waits, answers = [], []
    for number in numbers:
        server = servers[number % len(servers)]
        started = time.monotonic()
        reference = server.upload(distinct(small, number), token).json()["hash"]
        answers.append((time.monotonic() - started) * 1000)
        waits.append(server.wait_end(reference, token)["timings"]["queued"])
    return waits, answers


def idle_shares(server: Pixerve, seconds: float = IDLE_S) -> Cost:
    """Percent of a core that each part takes while nothing happens."""
    before, end = cpu_by_role(server), time.monotonic() + seconds
    wait_for(lambda: time.monotonic() > end, within_s=seconds + 5)
    return between(before, cpu_by_role(server), seconds / 100)


def show_shares(label: str, shares: Cost) -> None:
    parts = ", ".join(f"{name} {value:.2f} %" for name, value in shares.items())
    print(f"{label}, share of one core: {sum(shares.values()):.2f} % ({parts})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=8)
    options = parser.parse_args()
    picture = jpeg(MEGAPIXELS)
    workers = str(psutil.cpu_count() or 2)
    with (
        tempfile.TemporaryDirectory(prefix="pixerve-bench-") as folder,
        running(Path(folder), PIXERVE_MAX_WORKERS=workers) as server,
    ):
        under_load(server, picture, options.uploads, options.concurrency)
        one_after_the_other(server, picture, done=options.uploads)
        waits, _ = upload_to_claim([server], range(60))
        print(f"idle, upload to claim, ms: {p50_p99(waits)}")
        show_shares("idle", idle_shares(server))


if __name__ == "__main__":
    main()
