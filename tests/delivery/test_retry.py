import pytest

from delivery.retry import MAX_RETRY_AFTER_S, SCHEDULE, decide
from delivery.webhook import Attempt


def failed(retry_after_s: float | None = None, *, permanent: bool = False) -> Attempt:
    return Attempt(False, 503, "http_503: busy", 0.1, permanent, retry_after_s)


def middle() -> float:
    return 0.5


def test_the_waits_follow_the_schedule_and_then_end() -> None:
    decisions = [decide(number, failed(), jitter=middle) for number in range(1, 11)]
    waits = [5, 60, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 24 * 3600]
    assert [decision.delay_s for decision in decisions[:8]] == pytest.approx(waits)
    assert [decision.retry for decision in decisions] == [True] * 8 + [False] * 2
    assert len(SCHEDULE) == 9


@pytest.mark.parametrize(("jitter", "delay"), [(0.0, 54.0), (0.5, 60.0), (0.999999, 66.0)])
def test_jitter_is_ten_per_cent_either_way(jitter: float, delay: float) -> None:
    decision = decide(2, failed(), jitter=lambda: jitter)
    assert decision.delay_s == pytest.approx(delay, abs=0.001)


def test_success_and_permanent_failure_end_it() -> None:
    assert not decide(1, Attempt(True, 200, None, 0.1), jitter=middle).retry
    assert not decide(1, failed(permanent=True), jitter=middle).retry


@pytest.mark.parametrize(
    ("asked", "delay"),
    [(None, 5), (0, 5), (1, 5), (60, 60), (86_400, 86_400), (10**12, MAX_RETRY_AFTER_S)],
)
def test_retry_after_lengthens_within_a_bound(asked: float | None, delay: float) -> None:
    assert decide(1, failed(asked), jitter=middle).delay_s == pytest.approx(delay)


def test_retry_after_adds_no_attempt() -> None:
    assert not decide(9, failed(60), jitter=middle).retry


def test_another_schedule() -> None:
    assert decide(1, failed(), schedule=(0, 10), jitter=middle).delay_s == pytest.approx(10)
    assert not decide(2, failed(), schedule=(0, 10), jitter=middle).retry
    assert not decide(1, failed(), schedule=(), jitter=middle).retry
