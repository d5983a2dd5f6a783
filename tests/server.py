"""A whole Pixerve for a test: `manage.py serve` on a free port and a folder of its own."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import jwt
import psutil

from tests import measuring

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "tests" / "images"
DIE_WITH_US = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
T = TypeVar("T")
SECRET = "a shared secret of the tests, long enough to be taken"


def can_be_elsewhere() -> bool:
    """Whether a server of ours may have a host name of its own; that takes root."""
    command = ["unshare", "--uts", "sh", "-c", "hostname elsewhere"]
    return (
        shutil.which("unshare") is not None
        and not subprocess.run(command, check=False, capture_output=True).returncode
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(
    look: Callable[[], T | None], *, within_s: float = 30.0, what: str = "it", every_s: float = 0.02
) -> T:
    """The first truthy answer of `look`; fails the test after `within_s` seconds.

    It looks every `every_s` seconds, and less often as it waits longer, because each look takes
    time from what is waited for.
    """
    begun = time.monotonic()
    while (waited := time.monotonic() - begun) < within_s:
        found = look()
        if found:
            return found
        # Between two looks at a state, never instead of one.
        time.sleep(min(max(every_s, waited / 10), 0.25))
    raise AssertionError(f"{what} did not happen within {within_s} s")


EXAMPLE_JOB: dict[str, Any] = {
    "priority": 0,
    "keepOriginal": False,
    "formats": {
        "jpg": {"settings": {"quality": 80, "speed": 1}, "sizes": [[800, 600], [400, 300]]},
        "webp": {"settings": {"quality": 85, "speed": 2}, "sizes": [[800], [400]]},
    },
    "directHost": True,
    "subDir": "tenant-123",
}


def make_token(
    job: dict[str, Any] | None = None,
    *,
    subject: str = "user-123",
    secret: str = SECRET,
    lifetime_s: int = 3600,
    **claims: Any,
) -> str:
    now = int(time.time())
    payload = {"sub": subject, "iat": now, "exp": now + lifetime_s, **claims}
    if job is not None:
        payload["job"] = job
    return jwt.encode(payload, secret, algorithm="HS256")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Pixerve:
    """A running server. `log` is everything that all its processes printed.

    Only a `measured` one counts for the coverage of the tests. It runs all `parts`, unless some are
    named. With a `host` it believes to be on a machine of that name, of which others cannot see who
    lives (`can_be_elsewhere`).
    """

    folder: Path
    port: int
    env: dict[str, str] = field(default_factory=dict)
    measured: bool = False
    process: subprocess.Popen[bytes] | None = None
    parts: tuple[str, ...] = ()
    host: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def serve_dir(self) -> Path:
        return self.folder / "serve"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def environment(self) -> dict[str, str]:
        left_out = ("PIXERVE_", "DJANGO_")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
        inherited |= measuring.variables() if self.measured else {}
        return inherited | {
            "PIXERVE_ENV_FILE": os.devnull,
            "PIXERVE_DATA_DIR": str(self.data),
            "PIXERVE_SERVE_DIR": str(self.serve_dir),
            "PIXERVE_PORT": str(self.port),
            "PIXERVE_JWT_SECRET": SECRET,
            "PIXERVE_CALLBACK_ALLOW_PRIVATE": "127.0.0.0/8",
            "PIXERVE_RATE_LIMIT": "off",
            "PIXERVE_READY_FREE_BYTES": "1",
            "DJANGO_SUPERUSER_USERNAME": "root",
            "DJANGO_SUPERUSER_PASSWORD": "root-password-1",
            **self.env,
        }

    def manage(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            check=False,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            **options,
        )

    def start(self, *parts: str) -> None:
        self.launch(*(parts or self.parts))
        wait_for(self._ready, what=f"the start of Pixerve ({self.folder}/log)")

    def launch(self, *parts: str) -> None:
        """Start all of it, or only these parts, without waiting until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                # With the test process ends the server, too, however that came to its end.
                [*self._elsewhere(), sys.executable, str(ROOT / "manage.py"), "serve", *parts],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _elsewhere(self) -> list[str]:
        if not self.host:
            return DIE_WITH_US
        named = ["sh", "-c", 'hostname "$0" && exec "$@"', self.host]
        return ["unshare", "--uts", *named, *DIE_WITH_US]

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"serve ended: {self.log}"
        if self.parts and "web" not in self.parts:
            return bool(psutil.Process(self.process.pid).children())
        try:
            return self.get("/health").status == 200
        except OSError:
            return False

    def stop(self, within_s: float = 30.0) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)

    def kill(self) -> None:
        """End it and everything it started, as a power cut would."""
        assert self.process is not None
        everyone = [*self.processes().values()]
        for each in everyone:
            each.kill()
        psutil.wait_procs(everyone, timeout=10)
        self.process.wait(10)

    def processes(self) -> dict[int, psutil.Process]:
        """The supervisor and all its descendants, by pid."""
        assert self.process is not None
        main = psutil.Process(self.process.pid)
        return {each.pid: each for each in [main, *main.children(recursive=True)]}

    def request(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> Answer:
        request = urllib.request.Request(self.url + path, data=body, method=method)
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read())
        except http.client.HTTPException as error:
            raise ConnectionAbortedError("the answer was cut off") from error
        except urllib.error.HTTPError as error:
            return Answer(error.code, dict(error.headers), error.read())

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def upload(
        self, content: bytes, token: str, *, name: str = "photo.jpg", **options: Any
    ) -> Answer:
        body, content_type = multipart([("file", name, content)])
        return self.request(
            "POST",
            "/upload",
            token=token,
            body=body,
            headers={"Content-Type": content_type},
            **options,
        )

    def status(self, reference: str, token: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/status?hash={reference}", token=token).json()
        return found

    def wait_end(
        self,
        reference: str,
        token: str | None = None,
        *,
        within_s: float = 60.0,
        every_s: float = 0.02,
    ) -> dict[str, Any]:
        """The status once the job is over."""

        def ended() -> dict[str, Any] | None:
            found = self.status(reference, token)
            return found if found["state"] in {"completed", "failed", "cancelled"} else None

        return wait_for(ended, within_s=within_s, what=f"the end of {reference}", every_s=every_s)

    def staff_token(self) -> str:
        body = json.dumps({"username": "root", "password": "root-password-1"}).encode()
        answer = self.request(
            "POST", "/token", body=body, headers={"Content-Type": "application/json"}
        )
        return str(answer.json()["access"])


def multipart(parts: list[tuple[str, str, bytes]]) -> tuple[bytes, str]:
    """A form of (field, file name, content) parts, and its Content-Type."""
    boundary = uuid.uuid4().hex
    chunks = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + content
        + b"\r\n"
        for field, name, content in parts
    ]
    return b"".join(
        chunks
    ) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


@contextmanager
def running(
    folder: Path,
    *,
    measured: bool = False,
    parts: tuple[str, ...] = (),
    host: str = "",
    **env: str,
) -> Iterator[Pixerve]:
    """A Pixerve for the length of a `with`; nothing of it is left behind."""
    server = Pixerve(folder, free_port(), env, measured, parts=parts, host=host)
    server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()
