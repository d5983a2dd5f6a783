"""Who does something that only one may do at a time, over all processes and hosts.

SQLite has one writer at a time, who reads what the one before wrote: there nothing is to be done.
On PostgreSQL transactions run side by side and see only what was committed before; these are its
advisory locks, numbers that mean what we say. Take one before the statement that reads.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from django.db import connection


class Lock(IntEnum):
    """What is locked; the numbers must only differ."""

    EVENTS = 0x7069_7865
    TURNS = 0x7069_7866
    START = 0x7069_7867
    CLAIMS = 0x7069_7868
    STAGING = 0x7069_7869


def hold(lock: Lock, name: str = "") -> None:
    """Take `lock` for `name` until the end of the transaction."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # Two names of one number wait for each other needlessly, no more.
            number = zlib.crc32(name.encode()) - 2**31
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [lock, number])


@contextmanager
def alone(lock: Lock) -> Iterator[None]:
    """Hold `lock` for the length of a `with` that may have many transactions, however long one
    has to wait for it. The connection is closed at the end."""
    if connection.vendor != "postgresql":
        yield
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = 0")
            cursor.execute("SELECT pg_advisory_lock(%s, 0)", [lock])
        yield
    finally:
        connection.close()


def is_held(lock: Lock) -> bool:
    """Whether somebody is `alone` with it at this moment; ask outside of a transaction."""
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock_shared(%s, 0)", [lock])
        return not cursor.fetchone()[0]
