"""When all strikes are over, nothing is left of what they cut off (I3)."""

import pytest

from tests.faults.stack import Stack
from tests.server import wait_for

pytestmark = pytest.mark.faults

CLEAN_S = 300.0


@pytest.mark.timeout(CLEAN_S + 60)
def test_nothing_is_left_within_five_minutes(stack: Stack) -> None:
    try:
        wait_for(lambda: not stack.leftovers(), within_s=CLEAN_S, every_s=1.0, what="a clean end")
    except AssertionError:
        pytest.fail(f"left: {stack.leftovers()}")
