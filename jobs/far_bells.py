"""Bells between hosts, through Redis: a ring on one host is heard on all others.

Redis keeps nothing of ours, so there is nothing in it to lose. Whoever waits looks at the job table
every second as well; while Redis is away that is all, which is said once. Several installations may
share a Redis: channels are named by what only the hosts of one know.
"""

import hashlib
import hmac
import logging
import os
import threading
import time
from collections.abc import Callable
from functools import cache

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobs import leases

log = logging.getLogger("pixerve.bells")

_TIMEOUT_S = 0.5  # an uploader waits for it
_REST_S = 1.0
_SILENCE_S = 5.0
_CHECK_EVERY_S = 15


class _Line:
    """What this process knows of Redis: whether it answered, which is told when it changes."""

    def __init__(self) -> None:
        self._away = False
        self._lock = threading.Lock()
        self.rests_until = 0.0

    def lost(self, error: Exception) -> None:
        self.rests_until = time.monotonic() + _REST_S
        with self._lock:
            if not self._away:
                log.warning("Redis is away, looking at the table each second: %s", error)
            self._away = True

    def answered(self) -> None:
        if self._away:
            with self._lock:
                self._away = False
                log.info("Redis is back")


_line = _Line()


@cache
def _client(url: str) -> "redis.Redis":
    return redis.Redis.from_url(
        url,
        socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=_TIMEOUT_S,
        socket_keepalive=True,
        health_check_interval=_CHECK_EVERY_S,
        # Once more at once: a kept connection may be one to a server that was restarted.
        retry=Retry(NoBackoff(), 1),
    )


def _redis() -> "redis.Redis | None":
    url = settings.PIXERVE.broker_url
    return _client(url.get_secret_value()) if url else None


def _channel(name: str) -> str:
    ours = hmac.digest(settings.SECRET_KEY.encode(), b"pixerve bells", "sha256").hex()[:24]
    return f"pixerve:{ours}:{name}"


@cache
def _here() -> bytes:
    """This host's mark: its own bells are heard without Redis."""
    place = f"{leases.here()}{settings.PIXERVE.data_dir}"
    return hashlib.sha256(place.encode()).hexdigest()[:16].encode()


def ring(name: str) -> None:
    """Ring on all other hosts. Never fails; waits for Redis a second at most, and while it is away
    only now and then."""
    client = _redis()
    if client is None or time.monotonic() < _line.rests_until:
        return
    try:
        client.publish(_channel(name), _here())
    except redis.RedisError as error:
        _line.lost(error)
    else:
        _line.answered()


def answers() -> bool | None:
    """Whether Redis answers now; None where there is none."""
    client = _redis()
    try:
        return bool(client.ping()) if client else None
    except redis.RedisError:
        return False


_listening: dict[str, int] = {}


def listen(name: str, ring_here: Callable[[], None]) -> None:
    """From here on, and as long as this process lives, ring `ring_here` when another host rings."""
    client = _redis()
    if client is None or _listening.get(name) == os.getpid():
        return
    _listening[name] = os.getpid()
    about = (client, _channel(name), ring_here)
    threading.Thread(target=_listen, args=about, name="bells", daemon=True).start()


def _listen(client: "redis.Redis", channel: str, ring_here: Callable[[], None]) -> None:
    while True:
        try:
            _hear(client, channel, ring_here)
        except (redis.RedisError, OSError) as error:
            _line.lost(error)
        time.sleep(_REST_S)


def _hear(client: "redis.Redis", channel: str, ring_here: Callable[[], None]) -> None:
    with client.pubsub(ignore_subscribe_messages=True) as line:  # type: ignore[no-untyped-call]
        line.subscribe(channel)
        _line.answered()
        ring_here()  # for what was rung before we listened
        while True:
            message = line.get_message(timeout=_SILENCE_S)
            if message is not None and message["data"] != _here():
                ring_here()
