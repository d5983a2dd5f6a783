"""The settings, with as little patience for a task as django-q2 can have."""

from pixerve_site.settings import *  # noqa: F403 - all of them
from pixerve_site.settings import Q_CLUSTER

TIMEOUT_S = 7
Q_CLUSTER |= {"timeout": TIMEOUT_S, "retry": 10 * TIMEOUT_S}
