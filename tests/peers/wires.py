"""A proxy for bytes that can cut or freeze what passes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_POLL_S = 0.05


class Wiretap:
    """Passes connections on to ``target``; a fault counts the client's bytes, and is then over."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.connections = 0
        self._stop = threading.Event()
        self._fault = ""
        self._left = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_POLL_S)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]

    def cut_after(self, count: int) -> None:
        self._fault, self._left = "cut", count

    def freeze_after(self, count: int) -> None:
        self._fault, self._left = "freeze", count

    def start(self) -> None:
        self._threads[0].start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            with suppress(TimeoutError):
                client, _ = self._listener.accept()
                self.connections += 1
                server = socket.create_connection(("127.0.0.1", self.target))
                for ends in ((client, server, True), (server, client, False)):
                    thread = threading.Thread(target=self._pass, args=ends)
                    self._threads.append(thread)
                    thread.start()

    def _pass(self, source: socket.socket, sink: socket.socket, counts: bool) -> None:
        source.settimeout(_POLL_S)
        with suppress(OSError):
            while not self._stop.is_set():
                try:
                    data = source.recv(16384)
                except TimeoutError:
                    continue
                if not data or (counts and not self._lets(len(data))):
                    break
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()

    def _lets(self, count: int) -> bool:
        self._left -= count
        if not self._fault or self._left > 0:
            return True
        fault, self._fault = self._fault, ""
        if fault == "freeze":
            self._stop.wait()
        return False


@contextmanager
def tapped(target: int) -> Iterator[Wiretap]:
    tap = Wiretap(target)
    tap.start()
    try:
        yield tap
    finally:
        tap.stop()
