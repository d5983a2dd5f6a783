"""What a ring of the bell costs Redis, by how many hosts hear it."""

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.accounting import between, cpu_of_peers
from tests.peers import redis
from tests.server import wait_for

HOSTS = (2, 10, 100)
RINGS = 20_000
_CHANNEL = b"pixerve:0123456789abcdef01234567:queue"
_MARK = b"0123456789abcdef"  # as long as that of a host


def main(_folder: Path, scale: float) -> None:
    if reason := redis.missing():
        print(f"skipped rings: {reason}")
        return
    with redis.running() as server:
        for hosts in HOSTS:
            rings(server, hosts, max(500, int(RINGS * scale)))


def rings(server: redis.Redis, hosts: int, count: int) -> None:
    """Ring so often, one ring after the other, while so many hosts listen."""
    publish = ["PUBLISH", _CHANNEL, _MARK]
    with listening(server, hosts), server.client() as client:
        wait_for(lambda: client.execute_command(*publish) == hosts, what="all listeners")
        before = cpu_of_peers()
        for _ in range(count):
            assert client.execute_command(*publish) == hosts
        cost = between(before, cpu_of_peers(), count / 1e6)["Redis"]
    print(f"rings, {hosts} hosts: CPU of Redis {cost:.0f} µs each", flush=True)


@contextmanager
def listening(server: redis.Redis, hosts: int) -> Iterator[None]:
    """Plain connections that subscribe, and read whatever comes."""
    over, lines = threading.Event(), selectors.DefaultSelector()
    for _ in range(hosts):
        line = socket.create_connection(("127.0.0.1", server.port))
        line.sendall(f"AUTH {server.password}\r\nSUBSCRIBE {_CHANNEL.decode()}\r\n".encode())
        lines.register(line, selectors.EVENT_READ)

    def drain() -> None:
        while not over.is_set():
            for key, _ in lines.select(0.05):
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.recv(65536)

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for key in list(lines.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        lines.close()
