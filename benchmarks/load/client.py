"""A light client: some threads with a connection each that upload, and do as they are told.

A 429 or 503 with Retry-After is an answer and no error: the upload is sent again when it says.
"""

import http.client
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from benchmarks.load.pictures import Source
from benchmarks.load.watch import Gate
from tests.server import Pixerve, multipart

_IDLE_S = 2.0  # the server hangs up after 5
_TIMEOUT_S = 120.0
_LONGEST_WAIT_S = 60.0
TRIES = 50


@dataclass(frozen=True)
class Sent:
    """One upload that was taken: the job, when the request that was taken began (Unix time) and
    ended, and how long it took."""

    uid: str
    began: float
    answered: float
    took_s: float


@dataclass
class Log:
    """What became of all uploads. `refused` counts deliberate answers by status and code."""

    sent: list[Sent] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)


class Connection:
    """One keep-alive connection to a server; opened anew where it was idle for long."""

    def __init__(self, server: Pixerve, token: str, log: Log) -> None:
        self._headers = {"Authorization": f"Bearer {token}"}
        self._http = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_TIMEOUT_S)
        self._log = log
        self._used = 0.0

    def upload(self, picture: bytes) -> Sent | None:
        """Until it is taken; None is an error, which the log has."""
        body, content_type = multipart([("file", "photo.jpg", picture)])
        wrong = f"refused {TRIES} times"
        for _ in range(TRIES):
            began, clock = time.time(), time.perf_counter()
            try:
                status, headers, answer = self._post(body, content_type)
            except (OSError, http.client.HTTPException) as error:
                wrong = f"{type(error).__name__}: {error}"
                break
            if status == http.HTTPStatus.ACCEPTED:
                uid = json.loads(answer)["job_id"].replace("-", "")
                sent = Sent(uid, began, time.time(), time.perf_counter() - clock)
                self._log.sent.append(sent)
                return sent
            if status not in (429, 503) or "Retry-After" not in headers:
                wrong = f"{status}: {answer[:300].decode(errors='replace')}"
                break
            self._log.refused[f"{status} {json.loads(answer).get('code')}"] += 1
            time.sleep(min(float(headers["Retry-After"]), _LONGEST_WAIT_S))
        self._http.close()
        self._log.errors.append(wrong)
        return None

    def _post(self, body: bytes, content_type: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        if time.monotonic() > self._used + _IDLE_S:
            self._http.close()
        self._http.request("POST", "/upload", body, {**self._headers, "Content-Type": content_type})
        with self._http.getresponse() as response:
            answer = response.read()
        self._used = time.monotonic()
        return response.status, response.headers, answer

    def close(self) -> None:
        self._http.close()


def upload_all(
    server: Pixerve,
    token: str,
    picture: Source,
    numbers: range,
    *,
    concurrency: int,
    gate: Gate,
) -> Log:
    """Upload these, so many at a time, each once `gate` lets it in."""
    log, left, lock = Log(), iter(numbers), threading.Lock()

    def work() -> None:
        connection = Connection(server, token, log)
        while True:
            with lock:
                number = next(left, None)
            if number is None:
                break
            gate.enter()
            if connection.upload(picture(number)) is None:
                gate.leave(1)  # no job will
        connection.close()

    with ThreadPoolExecutor(concurrency) as pool:
        for done in [pool.submit(work) for _ in range(concurrency)]:
            done.result()
    return log
