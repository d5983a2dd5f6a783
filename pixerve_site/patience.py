"""How long a client may take: the head of a request, each piece of its body, each piece of answer.

A thread waits for each request under way, and there are few. Without an end to its patience some
clients that begin a request and then say nothing hold all of them for ever.
"""

import errno
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from gunicorn.workers.gthread import _DEFER, TConn, ThreadWorker

HEAD_S = 10.0  # from the first byte of a request to the end of its headers
HANG_UP_S = 1.0  # for the peer to close a connection that is over
DRAIN_S = 0.1  # for what nobody read of a body, before the connection is given up instead
STALL_S = 30.0  # between two pieces of a body, and for 256 KiB of an answer
LOOK_EVERY_S = 1.0
# Who asks whether we live is answered while all threads are taken, by uploads from slow clients or
# to a slow bucket: else we were taken for dead, and killed with all of them.
PROBES = (b"GET /health", b"HEAD /health", b"GET /livez", b"HEAD /livez")
DOOR_THREADS = 4


class Watch:
    """Cuts the connections whose time is up. One thread looks after all of them."""

    def __init__(self) -> None:
        self._until: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        self._some = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._look_on, name="watch", daemon=True).start()

    @contextmanager
    def limited(self, connection: socket.socket, seconds: float) -> Iterator[None]:
        """Cut `connection` in so many seconds, unless it is released or the block ends before."""
        with self._lock:
            self._until[connection] = time.monotonic() + seconds
            self._some.set()
        try:
            yield
        finally:
            self.release(connection)

    def release(self, connection: socket.socket) -> None:
        """Take the limit away; none is fine."""
        with self._lock:
            self._until.pop(connection, None)

    def cut_late(self) -> None:
        """Cut what is late now: whoever reads from it sees its end."""
        now = time.monotonic()
        with self._lock:
            for connection in [each for each, until in self._until.items() if until <= now]:
                del self._until[connection]
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            if not self._until:
                self._some.clear()

    def _look_on(self) -> None:
        while self._some.wait():
            self.cut_late()
            time.sleep(LOOK_EVERY_S)


def hang_up(connection: socket.socket) -> None:
    """End a connection in the calling thread, so that closing it takes no time any more.

    Gunicorn waits for the peer to hang up first, so that what it still sends does not cost it the
    answer; but it waits in the one thread that accepts connections, 2 s for each such peer.
    """
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        end = time.monotonic() + HANG_UP_S
        while (left := end - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(65536):
                break
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def beginning(connection: socket.socket) -> bytes:
    """The first bytes that a peer has sent and nobody has read; none if it has not."""
    try:
        return connection.recv(32, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return b""


watch = Watch()


class PatientWorker(ThreadWorker):  # type: ignore[misc]
    """Gunicorn's threads, with an end to their patience."""

    def init_process(self) -> None:
        watch.start()
        self._taken = 0
        self._door = ThreadPoolExecutor(DOOR_THREADS, thread_name_prefix="door")
        super().init_process()

    def enqueue_req(self, conn: TConn) -> None:
        if self._taken < self.cfg.threads:
            self._submit(self.tpool, conn)
        elif (begun := beginning(conn.sock)).startswith(PROBES):
            self._submit(self._door, conn)
        elif begun or conn.initialized or conn.data_ready:
            self._submit(self.tpool, conn)
        else:
            self._wait_for_its_word(conn)

    def _submit(self, pool: ThreadPoolExecutor, conn: TConn) -> None:
        counts = pool is self.tpool
        self._taken += counts
        pool.submit(self.handle, conn).add_done_callback(
            lambda done: self.method_queue.defer(self._finish, conn, done, counts)
        )

    def _finish(self, conn: TConn, done: "Future[Any]", counts: bool) -> None:
        self._taken -= counts
        self.finish_request(conn, done)

    def _wait_for_its_word(self, conn: TConn) -> None:
        """As gunicorn does for one that says nothing for a while."""
        silent: Future[Any] = Future()
        silent.set_result(_DEFER)
        self.finish_request(conn, silent)

    def accept(self, listener: socket.socket) -> None:
        try:
            super().accept(listener)
        except OSError as error:
            # The supervisor hung up and is about to ask us to stop; whom we have is still answered.
            if error.errno != errno.EINVAL:
                raise

    def handle(self, conn: TConn) -> Any:
        with watch.limited(conn.sock, HEAD_S):
            outcome = super().handle(conn)
        if outcome is False:
            hang_up(conn.sock)
        return outcome

    def _keepalive_after(self, conn: TConn, keepalive: bool) -> bool:
        """Gunicorn takes up to 5 s for what nobody read of a body: so long a thread would wait for
        a byte that never comes."""
        return keepalive and bool(conn.parser.finish_body(deadline=time.monotonic() + DRAIN_S))

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        # Not before Django is set up; this module chooses the worker, before it is.
        from pixerve_site import heads  # noqa: PLC0415

        refused = heads.refusal_of(exc)
        if refused is None:
            super().handle_error(req, client, addr, exc)
            return
        self.log.warning("a request that cannot be read: %s", type(exc).__name__)
        # With a request its head was read, and answered: this is what nobody read of its body.
        if req is None:
            with suppress(OSError):
                heads.refuse(client, refused)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        watch.release(conn.sock)
        conn.sock.settimeout(STALL_S)
        return super().handle_request(req, conn)
