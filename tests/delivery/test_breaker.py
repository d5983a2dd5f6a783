"""A store that fails again and again is left alone for a while."""

from delivery.breaker import (
    CLOSED,
    LIMIT,
    MAX_PAUSE_S,
    PAUSE_S,
    TRIAL_S,
    Breaker,
    failed,
    may_try,
    opens_again_at,
    pause_s,
    started,
    state,
    succeeded,
)


def after(failures: int, now: float = 0.0) -> Breaker:
    breaker = CLOSED
    for _ in range(failures):
        breaker = failed(breaker, now)
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    assert may_try(after(LIMIT - 1), 0)
    assert state(after(LIMIT - 1), 0) == "closed"
    opened = after(LIMIT)
    assert state(opened, 0) == "open"
    assert not may_try(opened, PAUSE_S - 0.1)
    assert opens_again_at(opened) == PAUSE_S


def test_a_success_between_them_starts_the_count_anew() -> None:
    assert succeeded() == CLOSED
    assert may_try(failed(succeeded(), 0), 0)


def test_one_trial_at_a_time_when_the_pause_is_over() -> None:
    opened = after(LIMIT)
    assert state(opened, PAUSE_S) == "half_open"
    assert may_try(opened, PAUSE_S)
    trying = started(opened, PAUSE_S)
    assert not may_try(trying, PAUSE_S + 1)
    assert may_try(trying, PAUSE_S + TRIAL_S), "a trial that was lost blocks nobody for ever"


def test_a_failed_trial_doubles_the_pause() -> None:
    breaker, now, pauses = after(LIMIT), 0.0, []
    for _ in range(8):
        pauses.append(pause_s(breaker))
        now += pause_s(breaker)
        breaker = failed(started(breaker, now), now)
        assert not may_try(breaker, now)
    assert pauses == [30, 60, 120, 240, 480, 900, 900, 900]
    assert pause_s(Breaker(10_000, 0.0)) == MAX_PAUSE_S


def test_deliveries_that_were_under_way_do_not_lengthen_the_pause() -> None:
    opened = after(LIMIT, now=100)
    assert failed(opened, 101) == opened


def test_starting_behind_a_closed_breaker_changes_nothing() -> None:
    assert started(after(2), 5) == after(2)
