"""The kinds of stores, and a new one that comes as one file from outside: the one of the docs."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from delivery import backends
from delivery.backends.base import Options, secret_fields
from delivery.backends.errors import AccessDenied, NoObject, StoreUnavailable
from delivery.errors import AddressRefused
from tests.delivery.backends.stores import PUBLIC_ONLY, destination, opened, probe_fails, put
from tests.delivery.peers import closed_port

PROJECT = Path(__file__).parents[3]


def example() -> str:
    page = (PROJECT / "docs/extending.md").read_text(encoding="utf-8")
    section = page.partition("## A new kind of store")[2]
    found = re.search(r"`pixerve_webdav.py`\n\n```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def webdav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a package of one module and one entry point, as pip would."""
    packages = tmp_path / "packages"
    metadata = packages / "pixerve_webdav-1.0.dist-info"
    metadata.mkdir(parents=True)
    (packages / "pixerve_webdav.py").write_text(example())
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: pixerve-webdav\nVersion: 1\n")
    entry = "[pixerve.backends]\nwebdav = pixerve_webdav:WebDav\n"
    (metadata / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(packages)
    backends.forget()
    yield
    backends.forget()
    sys.modules.pop("pixerve_webdav", None)


class _WebDav(BaseHTTPRequestHandler):
    """As much of a WebDAV server as the example talks to."""

    files: dict[str, bytes] = {}

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Authorization"] != "Basic YW5uOnBhc3M=":
            self._say(401)
            return
        self.files[self.path] = body
        self._say(201)

    def do_GET(self) -> None:
        found = self.files.get(self.path)
        self._say(404) if found is None else self._say(200, found)

    def do_HEAD(self) -> None:
        self._say(200 if self.path in self.files else 404)

    def do_DELETE(self) -> None:
        self._say(204 if self.files.pop(self.path, None) is not None else 404)

    def _say(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    _WebDav.files.clear()
    found = ThreadingHTTPServer(("127.0.0.1", 0), _WebDav)
    thread = Thread(target=found.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{found.server_port}/dav"
    found.shutdown()
    thread.join()
    found.server_close()


def test_the_built_in_backends() -> None:
    assert backends.names()[:4] == ("s3", "gcs", "sftp", "local")
    with pytest.raises(KeyError):
        backends.load("ftp")


@pytest.mark.parametrize("name", ["s3", "gcs", "sftp", "local"])
def test_a_backend_describes_its_fields(name: str) -> None:
    backend = backends.load(name)
    assert backend.type == name
    assert issubclass(backend.options_model, Options)
    for field, info in backend.options_model.model_fields.items():
        assert info.title, field
        assert info.description, field


def test_the_secrets() -> None:
    secrets = {name: secret_fields(backends.load(name).options_model) for name in backends.names()}
    assert secrets["s3"] == {"secret_access_key", "session_token"}
    assert secrets["gcs"] == {"service_account"}
    assert secrets["sftp"] == {"password", "private_key", "passphrase"}
    assert secrets["local"] == set()


def test_asking_loads_no_client_library() -> None:
    code = (
        "import sys; from delivery import backends; "
        "[backends.load(n).options_model.model_json_schema() for n in backends.names()]; "
        "heavy = {'boto3', 'botocore', 'google.cloud', 'paramiko', 'requests', 'django'}; "
        "sys.exit(str(heavy & sys.modules.keys()) if heavy & sys.modules.keys() else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT)


@pytest.mark.usefixtures("webdav")
def test_a_new_backend_is_one_file(server: str, picture: Callable[[bytes], Path]) -> None:
    assert backends.names()[-1] == "webdav"
    assert secret_fields(backends.load("webdav").options_model) == {"password"}
    options = {"url": server, "user": "ann", "timeout_s": 2}
    with opened(destination("webdav", options, {"password": "pass"})) as store:
        stored = put(store, "a b.webp", picture(b"picture"))
        assert stored.url == f"{server}/a%20b.webp"
        assert _WebDav.files == {"/dav/a%20b.webp": b"picture"}
        assert store.exists("a b.webp")
        assert store.read("a b.webp", 3) == b"pic"
        store.delete("a b.webp")
        with pytest.raises(NoObject):
            store.read("a b.webp", 1)
        store.probe()
    assert _WebDav.files == {}
    probe_fails(destination("webdav", options, {"password": "wrong"}), AccessDenied)
    gone = options | {"url": f"http://127.0.0.1:{closed_port()}"}
    probe_fails(destination("webdav", gone, {"password": "p"}), StoreUnavailable)
    guarded = destination("webdav", options, {"password": "pass"}, guarded=True)
    with opened(guarded, PUBLIC_ONLY) as store, pytest.raises(AddressRefused):
        store.probe()
