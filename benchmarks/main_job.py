"""What the main job costs: uploads of the documented example against a whole local server.

    python -m benchmarks.main_job [--uploads 200] [--concurrency 8]

Prints CPU time per job by part of the server (the converter child aside, that is the engine's
overhead), memory of all processes at the 50th and the last job, the slowest answer of /health under
load; the CPU time of jobs that come one after the other, which hyper-threads that share a core do
not inflate; and on an idle machine the time from upload to claim and the cost of waiting.
"""

import argparse
import io
import sqlite3
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
from PIL import Image

from tests.server import EXAMPLE_JOB, IMAGES, Pixerve, make_token, running, wait_for

PHOTO_SIZE = (3008, 2000)  # 6 megapixels
IDLE_S = 15.0


def photo() -> bytes:
    """A 6-megapixel JPEG: a real photo enlarged, with light noise so that it is not too smooth."""
    with Image.open(IMAGES / "imn_large.jpg") as source:
        large = source.convert("RGB").resize(PHOTO_SIZE, Image.Resampling.LANCZOS)
    noise = Image.effect_noise(PHOTO_SIZE, 12).convert("RGB")
    out = io.BytesIO()
    Image.blend(large, noise, 0.06).save(out, "JPEG", quality=92)
    return out.getvalue()


def distinct(jpeg: bytes, number: int) -> bytes:
    """The same picture with another checksum: a comment segment behind the start marker."""
    comment = f"{number:08d}".encode()
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def role(process: psutil.Process) -> str:
    line = " ".join(process.cmdline())
    for mark, name in (
        ("encoders.child", "child"),
        ("gunicorn", "web"),
        (" cluster", "cluster"),
        (" clerk", "clerk"),
    ):
        if mark in line:
            return name
    return "supervisor"


def cpu_by_role(server: Pixerve) -> dict[str, float]:
    """CPU seconds so far; a child that was recycled is in its worker's account of the dead."""
    used: dict[str, float] = defaultdict(float)
    for process in server.processes().values():
        try:
            name, times = role(process), process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used[name] += times.user + times.system
        if name == "cluster":
            used["child"] += times.children_user + times.children_system
    return used


def memory_by_role(server: Pixerve) -> dict[str, float]:
    """Proportional set size in MiB: shared pages are counted once."""
    used: dict[str, float] = defaultdict(float)
    for process in server.processes().values():
        try:
            used[role(process)] += process.memory_full_info().pss / 2**20
        except psutil.NoSuchProcess:
            continue
    return used


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


def under_load(server: Pixerve, jpeg: bytes, uploads: int, concurrency: int) -> None:
    token = make_token(EXAMPLE_JOB)
    warm = server.upload(distinct(jpeg, 0), token).json()["hash"]
    server.wait_end(warm, token)

    def one(number: int) -> str:
        answer = server.upload(distinct(jpeg, number), token)
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


def print_cost(before: dict[str, float], after: dict[str, float], jobs: int) -> None:
    cost = {name: (after[name] - before[name]) / jobs * 1000 for name in after}
    overhead = sum(value for name, value in cost.items() if name != "child")
    print("  CPU per job, ms: " + ", ".join(f"{k} {v:.1f}" for k, v in sorted(cost.items())))
    print(f"  beside the child: {overhead:.1f} ms, {overhead / cost['child']:.2f} of the child's")


def one_after_the_other(server: Pixerve, jpeg: bytes, done: int, jobs: int = 40) -> None:
    """`done` uploads are over already."""
    token = make_token(EXAMPLE_JOB)
    before = cpu_by_role(server)
    for number in range(done + 1, done + jobs + 1):
        assert server.upload(distinct(jpeg, number), token).status == 202
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


def when_idle(server: Pixerve) -> None:
    token = make_token({"formats": {"jpg": {"sizes": [[50]]}}, "directHost": True})
    small = (IMAGES / "pil_hopper.jpg").read_bytes()
    waits = []
    for number in range(60):
        reference = server.upload(distinct(small, number), token).json()["hash"]
        waits.append(server.wait_end(reference, token)["timings"]["queued"])
    waits.sort()
    p99 = waits[int(len(waits) * 0.99) - 1]
    print(f"idle, upload to claim: p50 {statistics.median(waits):.1f} ms, p99 {p99:.1f} ms")
    before = cpu_by_role(server)
    end = time.monotonic() + IDLE_S
    wait_for(lambda: time.monotonic() > end, within_s=IDLE_S + 5)
    after = cpu_by_role(server)
    shares = {name: (after[name] - before[name]) / IDLE_S * 100 for name in after}
    print(f"idle, share of one core: {sum(shares.values()):.2f} %")
    print("  " + ", ".join(f"{name} {value:.2f} %" for name, value in sorted(shares.items())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=8)
    options = parser.parse_args()
    jpeg = photo()
    workers = str(psutil.cpu_count() or 2)
    with (
        tempfile.TemporaryDirectory(prefix="pixerve-bench-") as folder,
        running(Path(folder), PIXERVE_MAX_WORKERS=workers) as server,
    ):
        under_load(server, jpeg, options.uploads, options.concurrency)
        one_after_the_other(server, jpeg, done=options.uploads)
        when_idle(server)


if __name__ == "__main__":
    main()
