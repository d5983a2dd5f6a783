"""A real nginx with the configuration of deploy/nginx, on free ports of its own."""

import datetime
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.peers.ceph import free_ports

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "deploy" / "nginx"
NAME = "images.example.com"
_START_S = 20
_DIE_WITH_US = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []

_MAIN = """
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/pixerve.conf;
}}
"""


@dataclass(frozen=True)
class Nginx:
    port: int
    plain_port: int
    folder: Path

    @property
    def log(self) -> str:
        return (self.folder / "access.log").read_text()


def program() -> str | None:
    """Where nginx is: installed, or fetched by deploy/bootstrap.sh into the virtual environment."""
    places = [os.environ.get("PATH", ""), "/usr/sbin", str(ROOT / ".venv/nginx/usr/sbin")]
    return shutil.which("nginx", path=os.pathsep.join(places))


def write(folder: Path, *, upstream: int, files: Path, changes: dict[str, str]) -> tuple[int, int]:
    """The example with our ports and folders, and `changes`; its ports, for TLS and without.

    Whatever is to be changed must be there.
    """
    tls, plain = free_ports(2)
    _make_certificate(folder)
    changes = {
        "127.0.0.1:8080": f"127.0.0.1:{upstream}",
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ssl;": f"listen 127.0.0.1:{tls} ssl;",
        "/etc/ssl/images.example.com.pem": f"{folder}/certificate.pem",
        "/etc/ssl/private/images.example.com.key": f"{folder}/key.pem",
        "/var/log/nginx/pixerve.log": f"{folder}/access.log",
        "/var/lib/pixerve/serve/": f"{files}/",
        **changes,
    }
    left = set(changes)
    for name in ("pixerve.conf", "pixerve-locations.conf"):
        text = (EXAMPLES / name).read_text()
        found = {old for old in changes if old in text}
        for old in found:
            text = text.replace(old, changes[old])
        left -= found
        (folder / name).write_text(text)
    assert not left, f"deploy/nginx has no {left}"
    user = "user root;" if os.getuid() == 0 else ""  # folders of tests are closed to others
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, user=user))
    return tls, plain


def _make_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def check(folder: Path) -> str:
    """What `nginx -t` says."""
    done = subprocess.run(
        [str(program()), "-t", "-p", str(folder), "-c", str(folder / "nginx.conf")],
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stderr


@contextmanager
def running(
    folder: Path, *, upstream: int, files: Path, changes: dict[str, str]
) -> Iterator[Nginx]:
    """nginx in front of the port `upstream`, sending files from the folder `files`."""
    tls, plain = write(folder, upstream=upstream, files=files, changes=changes)
    process = subprocess.Popen(
        [*_DIE_WITH_US, str(program()), "-p", str(folder), "-c", str(folder / "nginx.conf")],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(tls, process, folder)
        yield Nginx(tls, plain, folder)
    finally:
        process.terminate()
        process.wait(_START_S)


def _wait(port: int, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    end = time.monotonic() + _START_S
    while True:
        with suppress(OSError):
            create_connection(("127.0.0.1", port)).close()
            return
        assert process.poll() is None, (folder / "error.log").read_text()
        assert time.monotonic() < end, "nginx does not listen"
        time.sleep(0.02)
