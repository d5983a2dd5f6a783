"""A circuit breaker as data: may a store that failed again and again be tried now?

    closed    ──(LIMIT failures in a row)──▶ open
    open      ──(its pause is over)────────▶ half open: one trial at a time
    half open ──(success)──────────────────▶ closed
    half open ──(failure)──────────────────▶ open, with twice the pause

Pure functions; times are seconds of whatever clock the caller stores, the same in each call.
"""

from dataclasses import dataclass, replace

#: Failures in a row that open it.
LIMIT = 5
#: The first pause in seconds; it doubles with each trial that fails.
PAUSE_S = 30.0
MAX_PAUSE_S = 900.0
#: A trial that was not heard of for so many seconds was lost; another one may start.
TRIAL_S = 600.0


@dataclass(frozen=True)
class Breaker:
    """``failures`` in a row, when it opened, and when the trial that is under way began."""

    failures: int = 0
    opened_at: float | None = None
    trial_at: float | None = None


CLOSED = Breaker()


def pause_s(breaker: Breaker) -> float:
    """How long it stays open, in seconds."""
    trials = max(0, breaker.failures - LIMIT)
    return min(MAX_PAUSE_S, PAUSE_S * 2.0 ** min(trials, 10))


def opens_again_at(breaker: Breaker) -> float | None:
    """When the next try is allowed; None when it is allowed at any time."""
    if breaker.opened_at is None:
        return None
    paused = breaker.opened_at + pause_s(breaker)
    return paused if breaker.trial_at is None else max(paused, breaker.trial_at + TRIAL_S)


def state(breaker: Breaker, now: float) -> str:
    """ "closed", "open" or "half_open"."""
    if breaker.opened_at is None:
        return "closed"
    return "open" if now < breaker.opened_at + pause_s(breaker) else "half_open"


def may_try(breaker: Breaker, now: float) -> bool:
    """Whether a delivery may be sent now; tell ``started`` before sending it."""
    again = opens_again_at(breaker)
    return again is None or now >= again


def started(breaker: Breaker, now: float) -> Breaker:
    """A delivery is being sent; behind an open breaker it is the only one."""
    return breaker if breaker.opened_at is None else replace(breaker, trial_at=now)


def succeeded() -> Breaker:
    """A delivery arrived: all is forgotten."""
    return CLOSED


def failed(breaker: Breaker, now: float) -> Breaker:
    """A delivery failed for a reason of the store's, not of the object's."""
    failures = breaker.failures + 1
    if failures < LIMIT:
        return Breaker(failures)
    if breaker.opened_at is not None and breaker.trial_at is None:
        # Sent before it opened: it tells nothing new.
        return breaker
    return Breaker(failures, opened_at=now)
