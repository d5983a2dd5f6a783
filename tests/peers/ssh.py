"""A real sshd on a free port, for the user who runs the tests; as root for a made-up one too.

That one is known to this sshd alone, by nss_wrapper, so that nothing of the machine is changed.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.peers.ceph import free_ports

SSHD = "/usr/sbin/sshd"
PASSWORD = "correct horse battery staple"
# openssl passwd -6 -salt pixervetests
_HASH = (
    "$6$pixervetests$oYfLtOHum4KnQ.9z9EwMVhacsIhlxua0Q658mqwc"
    "uQW4Tnr9c4xsPtxLt1trzw3eT2skogePvQg4KzzDP8xIc/"
)
MADE_UP = "pixerve-test"
_START_S = 20

_CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_ed25519
HostKey {folder}/host_rsa
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication {password}
AuthorizedKeysFile {folder}/authorized_keys
Subsystem sftp internal-sftp
MaxStartups 100
LogLevel ERROR
"""


@dataclass(frozen=True)
class Sshd:
    port: int
    folder: Path
    user: str
    private_key: str
    #: Of MADE_UP, who logs in with PASSWORD; None where there is no such user.
    home: Path | None

    def host_key(self, kind: str = "ed25519") -> str:
        return (self.folder / f"host_{kind}.pub").read_text().strip()

    def fingerprint(self) -> str:
        command = ["ssh-keygen", "-lf", str(self.folder / "host_ed25519.pub")]
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return shown.split()[1]


def missing() -> str | None:
    """Why this machine cannot have it."""
    return None if Path(SSHD).exists() and shutil.which("ssh-keygen") else "sshd is not installed"


def wrapper() -> str | None:
    """The library that gives one process users of its own."""
    found = next(Path("/usr").glob("lib*/**/libnss_wrapper.so"), None)
    return str(found) if found and os.geteuid() == 0 else None


def new_key() -> tuple[str, str]:
    """A private key in OpenSSH's form, and its public line."""
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return private.decode(), public.decode()


@contextmanager
def running(folder: Path) -> Iterator[Sshd]:
    port = free_ports(1)[0]
    _make_host_keys(folder)
    private, public = new_key()
    (folder / "authorized_keys").write_text(public)
    environment, home = _users(folder)
    config = folder / "sshd_config"
    has_password = "yes" if environment else "no"
    config.write_text(_CONFIG.format(port=port, folder=folder, password=has_password))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    log = folder / "log"
    with log.open("wb") as out:
        daemon = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=os.environ | environment,
        )
    try:
        _wait(port, daemon, log)
        user = pwd.getpwuid(os.getuid()).pw_name
        yield Sshd(port, folder, user, private, home)
    finally:
        daemon.terminate()
        daemon.wait()
        if home:
            shutil.rmtree(home)


def _make_host_keys(folder: Path) -> None:
    for kind in ("ed25519", "rsa"):
        command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(folder / f"host_{kind}")]
        subprocess.run(command, check=True)


def _users(folder: Path) -> tuple[dict[str, str], Path | None]:
    library = wrapper()
    if library is None:
        return {}, None
    # Others may not enter pytest's folders.
    home = Path(tempfile.mkdtemp(prefix="pixerve-home-", dir="/var/tmp"))
    nobody = 65534
    os.chown(home, nobody, nobody)
    line = f"{MADE_UP}:x:{nobody}:{nobody}::{home}:/bin/sh\n"
    (folder / "passwd").write_text(Path("/etc/passwd").read_text() + line)
    (folder / "group").write_text(Path("/etc/group").read_text())
    (folder / "shadow").write_text(f"{MADE_UP}:{_HASH}:19000:0:99999:7:::\n")
    variables = {
        "LD_PRELOAD": library,
        "NSS_WRAPPER_PASSWD": str(folder / "passwd"),
        "NSS_WRAPPER_GROUP": str(folder / "group"),
        "NSS_WRAPPER_SHADOW": str(folder / "shadow"),
    }
    return variables, home


def _wait(port: int, daemon: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_S
    while True:
        try:
            create_connection(("127.0.0.1", port), 5).close()
        except OSError:
            assert daemon.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.01)
        else:
            return
