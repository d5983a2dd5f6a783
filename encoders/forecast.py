"""What a plan will need, from its header alone."""

from encoders.header import Header
from encoders.limits import Need
from encoders.plan import Plan


def forecast(plan: Plan, header: Header) -> Need:
    return Need(1 << 20, 0)
