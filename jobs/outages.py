"""A database that goes away for a while: a lock that takes too long, a server that restarts."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, close_old_connections

log = logging.getLogger("pixerve.jobs")

AWAY = (OperationalError, InterfaceError)
PATIENCE_S = 60.0
PAUSE_S = 0.5

T = TypeVar("T")


def insist(write: Callable[[], T], *, unless: Callable[[], bool] = lambda: False) -> T:
    """Call `write` until the database takes it, for up to `PATIENCE_S`, or until `unless` is true.

    A COMMIT whose answer was lost may have happened, so `write` must bear to be repeated: it names
    a fence, and finds nothing to do the second time. Raises what `write` raises.
    """
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return write()
        except AWAY as error:
            forget_connection()
            if time.monotonic() >= end or unless():
                raise
            log.warning("the database is away; trying again: %s", str(error).strip())
        time.sleep(PAUSE_S)


def forget_connection() -> None:
    """Let the next query make a new connection where this one is broken."""
    close_old_connections()
