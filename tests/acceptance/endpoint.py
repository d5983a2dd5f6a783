"""A webhook receiver that can be slow, refuse, and say who was with it at the same time."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Call:
    """One POST as it came."""

    path: str
    headers: Message
    body: bytes

    @property
    def id(self) -> str:
        return str(self.headers["webhook-id"])

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Endpoint:
    """Answers `statuses` in turn, the last one for ever; waits for `gate` before each answer."""

    port: int = 0
    statuses: list[int] = field(default_factory=lambda: [200])
    gate: threading.Event = field(default_factory=threading.Event)
    calls: list[Call] = field(default_factory=list)
    at_once: int = 0
    _inside: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def take(self, call: Call) -> int:
        """Note a call; the status to answer with. `at_once` is the most there was of one id."""
        with self._lock:
            self._inside[call.id] += 1
            self.at_once = max(self.at_once, self._inside[call.id])
            self.calls.append(call)
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        self.gate.wait(60)
        with self._lock:
            self._inside[call.id] -= 1
        return status


def _handler(endpoint: Endpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = endpoint.take(Call(self.path, self.headers, body))
            with suppress(OSError):  # the sender may be gone
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silent."""

    return Handler


@contextmanager
def endpoint(*statuses: int, closed: bool = False) -> Iterator[Endpoint]:
    """A receiver for a `with`; with `closed` nobody is answered until `gate.set()`."""
    receiver = Endpoint(statuses=list(statuses) or [200])
    if not closed:
        receiver.gate.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(receiver))
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield receiver
    finally:
        receiver.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
