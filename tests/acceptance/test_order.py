"""Who comes first: realtime before queued, and subjects in turns."""

from typing import Any

from tests.acceptance.evidence import (
    QUICK_JOB,
    SMALL,
    another,
    check_ended_once_and_right,
    held,
    post,
    rows,
    wait_ended,
)
from tests.server import Pixerve

BACKLOG = 30
QUEUED: dict[str, Any] = {**QUICK_JOB, "priority": 1}


def in_order(server: Pixerve, uids: list[str]) -> list[str]:
    """The jobs in the order in which they were claimed, once they are over."""
    wait_ended(server, uids)
    check_ended_once_and_right(server, uids)
    claimed = rows(server, "SELECT uid FROM jobs_job ORDER BY claimed_at")
    return [row["uid"] for row in claimed if row["uid"] in uids]


def test_realtime_overtakes_a_backlog(single: Pixerve) -> None:
    queued = [post(single, another(SMALL, f"old {each}"), QUEUED) for each in range(BACKLOG // 2)]
    with held(single, "order"):
        queued += [
            post(single, another(SMALL, f"queued {each}"), QUEUED) for each in range(BACKLOG // 2)
        ]
        realtime = post(single, another(SMALL, "realtime"), QUICK_JOB)
        late = post(single, another(SMALL, "late"), QUEUED)
        waiting = rows(single, "SELECT uid FROM jobs_job WHERE state = 'pending'")

    order = in_order(single, [*queued, realtime, late])

    still = {row["uid"] for row in waiting}
    assert len(still) > BACKLOG // 2
    assert next(uid for uid in order if uid in still) == realtime


def test_a_burst_of_one_subject_delays_another_by_two_jobs_at_most(single: Pixerve) -> None:
    with held(single, "fair"):
        burst = [
            post(single, another(SMALL, f"burst {each}"), QUICK_JOB, "greedy")
            for each in range(BACKLOG)
        ]
        modest = post(single, another(SMALL, "modest"), QUICK_JOB, "modest")

    order = in_order(single, [*burst, modest])

    assert order.index(modest) <= 2
    assert [uid for uid in order if uid != modest] == burst
