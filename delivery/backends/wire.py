"""The connections of one store: to checked addresses only, and none outlives its time.

The libraries of the stores resolve names and connect by themselves. Here they get connection
classes that ask a Wire instead, each store its own, so nothing is patched for anybody else.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_network
from threading import Lock
from typing import Any

from delivery.addresses import AddressPolicy, IPAddress
from delivery.backends.errors import StoreUnavailable
from delivery.deadline import Deadline
from delivery.destination import Destination
from delivery.errors import DeliveryError, TimedOut
from delivery.http import Resolver, _checked_addresses, resolve
from delivery.rules import Target

_CONNECT_S = 5.0
_KEEPALIVE_IDLE_S = 30

#: A store that takes fewer bytes a second, over a whole operation, is as good as down.
SLOWEST_BYTES_PER_S = 32 * 1024

ANYWHERE = AddressPolicy([ip_network("0.0.0.0/0"), ip_network("::/0")])


class Wire:
    """Connects for one store, in one thread, while ``within`` is open."""

    def __init__(
        self, policy: AddressPolicy, timeout_s: float, resolver: Resolver = resolve
    ) -> None:
        self.timeout_s = timeout_s
        self._policy = policy
        self._resolver = resolver
        self._deadline: Deadline | None = None
        self._lock = Lock()
        self._watched: set[socket.socket] = set()

    @contextmanager
    def within(self, size: int = 0) -> Iterator[None]:
        """One operation that moves ``size`` bytes; cut off when it takes longer than it may."""
        total_s = round(2 * self.timeout_s + size / SLOWEST_BYTES_PER_S, 1)
        with Deadline(total_s, self._cut) as deadline:
            self._deadline = deadline
            yield

    def late(self) -> TimedOut | None:
        """The error to tell when the operation was cut off."""
        deadline = self._deadline
        return deadline.error() if deadline is not None and deadline.passed else None

    def connect(self, host: str, port: int) -> socket.socket:
        """A connection to the first checked address that takes one.

        Raises AddressRefused, DnsFailed, TimedOut, StoreUnavailable.
        """
        deadline = self._deadline
        assert deadline is not None, "no operation is open"  # noqa: S101
        failure: DeliveryError = StoreUnavailable(f"{host}: no address")
        for ip in self._addresses(host, port, deadline):
            seconds = min(_CONNECT_S, self.timeout_s, deadline.remaining())
            try:
                sock = socket.create_connection((str(ip), port), seconds)
            except TimeoutError:
                failure = TimedOut(f"{host} at {ip} port {port}: no connection in {seconds:.3g} s")
            except OSError as error:
                failure = StoreUnavailable(f"{host} at {ip} port {port}: {error.strerror}")
            else:
                _keep_alive(sock)
                return sock
        raise failure

    def _addresses(self, host: str, port: int, deadline: Deadline) -> list[IPAddress]:
        target = Target("https", host, port, "/")
        if target.literal is not None:
            self._policy.check(target.literal)
        return _checked_addresses(target, self._policy, deadline, self._resolver)

    def watch(self, sock: socket.socket) -> socket.socket:
        """Cut this connection when the time is up; gives a handle for ``forget``.

        The handle is a duplicate, because TLS takes the original's file descriptor over.
        """
        handle = sock.dup()
        with self._lock:
            self._watched.add(handle)
        return handle

    def forget(self, handle: socket.socket) -> None:
        """Stop watching."""
        with self._lock:
            self._watched.discard(handle)
            handle.close()

    def close(self) -> None:
        """Stop watching whatever is left."""
        for handle in tuple(self._watched):
            self.forget(handle)

    def _cut(self) -> None:
        with self._lock:
            for handle in self._watched:
                with suppress(OSError):
                    handle.shutdown(socket.SHUT_RDWR)


def wire_of(destination: Destination, policy: AddressPolicy, timeout_s: float) -> Wire:
    """The policy holds for users' destinations; staff may name any host."""
    return Wire(policy if destination.guarded else ANYWHERE, timeout_s)


def _keep_alive(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)


class _Wired:
    """Mixed into a connection class of urllib3; Host, SNI and certificate stay with the name."""

    wire: Wire
    host: str
    port: int
    timeout: float | None
    _handle: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        sock = self.wire.connect(self.host, self.port)
        sock.settimeout(self.timeout)
        self._drop()
        self._handle = self.wire.watch(sock)
        return sock

    def close(self) -> None:
        super().close()  # type: ignore[misc]
        self._drop()

    def _drop(self) -> None:
        if self._handle is not None:
            self.wire.forget(self._handle)
            self._handle = None


def pool_classes(wire: Wire, plain: Any, tls: Any) -> dict[str, Any]:
    """urllib3's pool classes by scheme, from ``plain`` and ``tls``, that connect by ``wire``."""

    def wired(pool: Any) -> Any:
        connection = type("Connection", (_Wired, pool.ConnectionCls), {"wire": wire})
        return type("Pool", (pool,), {"ConnectionCls": connection})

    return {"http": wired(plain), "https": wired(tls)}


def authorities() -> str | None:
    """The file of certificate authorities that the rest of Pixerve trusts (or SSL_CERT_FILE's)."""
    return ssl.get_default_verify_paths().cafile
