"""Many measured values in two."""

from collections.abc import Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """The least of the values that so many percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


def p50_p99(values: Sequence[float]) -> str:
    """The usual one, and the worst but for one of a hundred."""
    return f"p50 {percentile(values, 50):.1f}, p99 {percentile(values, 99):.1f}"
