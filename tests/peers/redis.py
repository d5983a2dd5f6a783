"""A Redis of our own on a free port, behind a password; it keeps nothing."""

import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import redis

from tests.peers.ceph import free_ports

_START_S = 30


def missing() -> str | None:
    """Why this machine cannot have it."""
    return None if shutil.which("redis-server") else "not installed: redis-server"


@dataclass
class Redis:
    """A running server; `kill` and `start` may be called in between."""

    port: int
    password: str = field(repr=False)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/1"

    def client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.url)

    def start(self) -> None:
        """Returns when it answers."""
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(
            [shutil.which("redis-server") or "", *options, "--requirepass", self.password],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + _START_S
        while not self._answers():
            assert self.process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(_START_S)


@contextmanager
def running() -> Iterator[Redis]:
    """For the length of a `with`."""
    found = Redis(free_ports(1)[0], secrets.token_hex(12))
    try:
        found.start()
        yield found
    finally:
        if found.process is not None and found.process.poll() is None:
            found.kill()
