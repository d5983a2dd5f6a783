"""A proxy in front of an HTTP store that behaves well, but for the faults that a test puts in.

with faulty(endpoint) as proxy:
    proxy.faults.append(Fault("PUT", "status", status=500, times=5))
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "keep-alive", "expect", "transfer-encoding"}
_DRIP_S = 0.05


@dataclass
class Fault:
    """What to do to requests of one method; ``times`` counts down, and then the fault is over.

    It strikes each ``every``-th of them.

    ``kind``: "status" (answer it, with ``body`` and ``headers``), "hang" (say nothing),
    "cut_request" (half of the body goes on, then both ends are dropped), "cut_answer" (half of the
    answer goes on), "wrong_body" (one byte of the request's body is changed), "wrong_answer" (of
    the answer's), "slow" (the answer comes byte by byte, ``pause_s`` apart), "headers" (the
    answer's are replaced).
    """

    method: str
    kind: str
    status: int = 500
    times: int = 1 << 30
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    path: str = ""
    pause_s: float = _DRIP_S
    every: int = 1
    met: int = 0

    def strikes(self, method: str, path: str) -> bool:
        """Whether it does to this request; call it once for each."""
        if self.times <= 0 or self.method not in (method, "*") or self.path not in path:
            return False
        self.met += 1
        return self.met % self.every == 0


@dataclass
class FaultyProxy:
    endpoint: str = ""
    faults: list[Fault] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    check: Callable[[str], bool] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)

    def take(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.strikes(method, path):
                    fault.times -= 1
                    return fault
        return None


@contextmanager
def faulty(target: str) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy()
    server = _Server(("127.0.0.1", 0), _handler(proxy, urlsplit(target).netloc))
    proxy.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stop.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


def _changed(body: bytes) -> bytes:
    return bytes([body[0] ^ 1]) + body[1:] if body else b"x"


def _handler(proxy: FaultyProxy, target: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            proxy.seen.append(f"{self.command} {self.path}")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if proxy.check and not proxy.check(self.headers.get("Authorization") or ""):
                self._say(401, {}, b"{}")
                return
            fault = proxy.take(self.command, self.path)
            kind = fault.kind if fault else ""
            if fault and kind == "status":
                self._say(fault.status, fault.headers, fault.body)
            elif kind == "hang":
                proxy.stop.wait()
                self.close_connection = True
            elif kind == "cut_request":
                self._cut(body)
            else:
                self._pass_on(_changed(body) if kind == "wrong_body" else body, fault)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = handle_one  # noqa: N815

        def _ask(self, body: bytes, sent: int | None = None) -> HTTPConnection:
            upstream = HTTPConnection(target, timeout=30)
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    upstream.putheader(name, value)
            upstream.endheaders(body[:sent])
            return upstream

        def _cut(self, body: bytes) -> None:
            self._ask(body, len(body) // 2).close()
            self.close_connection = True

        def _pass_on(self, body: bytes, fault: Fault | None) -> None:
            upstream = self._ask(body)
            try:
                answer = upstream.getresponse()
                self._relay(answer, answer.read(), fault)
            finally:
                upstream.close()

        def _relay(self, answer: HTTPResponse, content: bytes, fault: Fault | None) -> None:
            kind = fault.kind if fault else ""
            headers = {k: v for k, v in answer.getheaders() if k.lower() not in _HOP_BY_HOP}
            if fault and kind == "headers":
                headers |= fault.headers
            if kind == "wrong_answer":
                content = _changed(content)
            if self.command != "HEAD" and answer.status not in (204, 304):
                headers["Content-Length"] = str(len(content))
            whole = self._head(answer.status, headers)
            whole += b"" if self.command == "HEAD" else content
            if kind == "cut_answer":
                self.wfile.write(whole[: len(whole) // 2])
                self.close_connection = True
            elif fault and kind == "slow":
                self._drip(whole, fault.pause_s)
            else:
                self.wfile.write(whole)

        def _drip(self, whole: bytes, pause_s: float) -> None:
            for byte in whole:
                if proxy.stop.wait(pause_s):
                    return
                self.wfile.write(bytes([byte]))

        def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
            head = self._head(status, headers | {"Content-Length": str(len(body))})
            self.wfile.write(head if self.command == "HEAD" else head + body)

        def _head(self, status: int, headers: dict[str, str]) -> bytes:
            lines = [f"HTTP/1.1 {status} Told", *(f"{k}: {v}" for k, v in headers.items())]
            return "\r\n".join([*lines, "", ""]).encode("latin-1")

        def log_message(self, *_: object) -> None:
            pass

    return Handler
