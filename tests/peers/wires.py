"""A proxy for bytes that can cut, freeze, hold back or refuse what passes."""

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
        self._open = threading.Event()
        self._open.set()
        self._away = False
        self.holds = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_POLL_S)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]

    def cut_after(self, count: int) -> None:
        self._fault, self._left = "cut", count

    def freeze_after(self, count: int) -> None:
        self._fault, self._left = "freeze", count

    def hold_after(self, count: int) -> None:
        """Keep back what comes after so many bytes, until `release`; `holds` says that it does."""
        self._open.clear()
        self._fault, self._left = "hold", count

    def release(self) -> None:
        """Let all pass that was kept back."""
        self._fault = ""
        self.holds.clear()
        self._open.set()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Cut whoever is connected, and hang up on all who come, for the length of a `with`."""
        self._away = True
        try:
            yield
        finally:
            self._away = False

    def start(self) -> None:
        self._threads[0].start()

    def stop(self) -> None:
        self._stop.set()
        self._open.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            with suppress(TimeoutError):
                client, _ = self._listener.accept()
                self.connections += 1
                if self._away:
                    client.close()
                    continue
                self._threads = [each for each in self._threads if each.is_alive()]
                server = socket.create_connection(("127.0.0.1", self.target))
                for ends in ((client, server, True), (server, client, False)):
                    thread = threading.Thread(target=self._pass, args=ends)
                    self._threads.append(thread)
                    thread.start()

    def _pass(self, source: socket.socket, sink: socket.socket, counts: bool) -> None:
        source.settimeout(_POLL_S)
        with suppress(OSError):
            while not self._stop.is_set() and not self._away:
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
        if self._fault == "hold":
            self.holds.set()
            self._open.wait()
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
