"""A retry is data: from what happened to when to try again, without a clock or a queue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from delivery.webhook import Attempt

#: Seconds to wait before attempt 1, 2, 3 … ; its length is the number of attempts.
SCHEDULE: tuple[float, ...] = (0, 5, 60, 300, 1800, 7200, 18_000, 36_000, 86_400)

#: The longest wait, in seconds, that a receiver may ask for by Retry-After.
MAX_RETRY_AFTER_S = 86_400.0

_SPREAD = 0.1


@dataclass(frozen=True)
class RetryDecision:
    """Whether to try again, and after how many seconds from now."""

    retry: bool
    delay_s: float = 0.0


STOP = RetryDecision(retry=False)


def decide(
    attempt_number: int,
    attempt: Attempt,
    *,
    schedule: Sequence[float] = SCHEDULE,
    jitter: Callable[[], float],
) -> RetryDecision:
    """What follows attempt ``attempt_number`` (the first is 1).

    ``jitter`` gives numbers in [0, 1), as ``random.random`` does; they become ± 10 % of
    the scheduled wait. A receiver's Retry-After lengthens the wait, up to
    MAX_RETRY_AFTER_S, and never shortens it.
    """
    if attempt.ok or attempt.permanent or attempt_number >= len(schedule):
        return STOP
    scheduled = schedule[attempt_number] * (1 - _SPREAD + 2 * _SPREAD * jitter())
    asked = min(attempt.retry_after_s or 0.0, MAX_RETRY_AFTER_S)
    return RetryDecision(retry=True, delay_s=max(scheduled, asked))
