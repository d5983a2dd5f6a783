"""Several workers at one table: processes that claim and finish jobs as fast as they can."""

import time
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

from django.db import connection, connections

from benchmarks.queue.fill import fill
from jobs import outcomes, transitions
from jobs.models import Job
from jobs.outcomes import Product

_FROM = 10**9


def contend(processes: int, jobs: int) -> None:
    """So many processes claim and finish this many jobs, of as many subjects as a table of them has
    in a day; a job must be there."""
    Job.objects.filter(state="pending").update(state="cancelled")
    fill(_FROM * processes, jobs, "pending", max(1, jobs // 10))
    connections.close_all()
    context = get_context("fork")
    barrier, found = context.Barrier(processes + 1), context.SimpleQueue()
    workers = [context.Process(target=_work, args=(barrier, found)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    barrier.wait(60)
    begun = time.monotonic()
    done, cpu = (sum(each) for each in zip(*(found.get() for _ in workers), strict=True))
    spent_s = time.monotonic() - begun
    for worker in workers:
        worker.join()
    assert done == jobs, (done, jobs)
    print(
        f"claims, {connection.vendor}: {processes} at once claim and finish {done / spent_s:.0f}"
        f" jobs/s; CPU of each, theirs alone, {cpu / done * 1000:.2f} ms",
        flush=True,
    )


def _work(barrier: Barrier, found: "SimpleQueue[tuple[int, float]]") -> None:
    connection.ensure_connection()
    barrier.wait(60)
    before, done = time.process_time(), 0
    while job := transitions.claim_best("bench/1/1"):
        outcomes.complete(job, Product(()))
        done += 1
    found.put((done, time.process_time() - before))
    connections.close_all()
