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


def queue_up(server: Pixerve, mark: str) -> list[str]:
    """Half a backlog, of several subjects, so that turns alone put none of it behind others."""
    return [
        post(server, another(SMALL, f"{mark} {each}"), QUEUED, subject=f"subject {each % 5}")
        for each in range(BACKLOG // 2)
    ]


def test_realtime_overtakes_a_backlog(single: Pixerve) -> None:
    with held(single, "order"):
        queued = queue_up(single, "before")
        realtime = post(single, another(SMALL, "realtime"), QUICK_JOB, subject="hasty")
        queued += queue_up(single, "after")
        waiting = rows(single, "SELECT uid FROM jobs_job WHERE state = 'pending'")

    assert {row["uid"] for row in waiting} == {*queued, realtime}
    assert in_order(single, [*queued, realtime])[0] == realtime


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
