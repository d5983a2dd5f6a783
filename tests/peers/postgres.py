"""A PostgreSQL of our own: a new cluster on a free port, that nobody else knows and that is gone
afterwards. Nothing in it has to survive a power cut, so nothing is synced to disk, unless somebody
wants to know how long that takes."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

_USER = "postgres"  # PostgreSQL refuses to run as root
_START_S = 60
# Text is sorted as people do and not by its bytes, so that who relies on bytes is found out.
_INITDB = ("--encoding=UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en-US")
_FAST = ("fsync=off", "full_page_writes=off", "max_wal_size=256MB", "shared_buffers=32MB")
_DURABLE = ("max_wal_size=1GB", "shared_buffers=256MB")

_DIE_WITH_US = ["setpriv", "--pdeathsig", "INT"] if shutil.which("setpriv") else []


def _program(name: str) -> str | None:
    """Debian keeps them out of the path, in a folder for each version; the newest counts."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: each.parent.name)
    found = [str(each / name) for each in folders if (each / name).exists()]
    return found[-1] if found else shutil.which(name)


def missing() -> str | None:
    """Why this machine cannot have it."""
    absent = [name for name in ("initdb", "postgres") if _program(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


@dataclass
class Postgres:
    """A running server; `stop` and `start` may be called in between."""

    folder: Path
    port: int
    password: str = field(repr=False)
    process: subprocess.Popen[bytes] | None = None
    durable: bool = False

    def url(self, name: str = "postgres") -> str:
        """The address of one of its databases."""
        return f"postgres://{_USER}:{quote(self.password, safe='')}@127.0.0.1:{self.port}/{name}"

    def connect(self, name: str = "postgres") -> "psycopg.Connection[Any]":
        return psycopg.connect(self.url(name), autocommit=True)

    def make(self, name: str) -> str:
        """A new, empty database; its address."""
        with closing(self.connect()) as server:
            server.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def start(self) -> None:
        """Returns when it takes connections."""
        settings = [
            *(_DURABLE if self.durable else _FAST),
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            f"unix_socket_directories={self.folder}",
            "max_connections=200",
        ]
        program = _program("postgres")
        assert program is not None
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*_DIE_WITH_US, program, "-D", str(self.folder / "data"), *_each("-c", settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **_as_postgres(self.folder),
            )
        self._wait()

    def stop(self) -> None:
        """A fast shutdown, as `systemctl stop` makes it: whoever is connected is cut off."""
        assert self.process is not None
        self.process.send_signal(2)
        self.process.wait(_START_S)

    def kill(self) -> None:
        """As a crash would end it: the postmaster first, its children when they notice."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(_START_S)

    def _wait(self) -> None:
        assert self.process is not None
        end = time.monotonic() + _START_S
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError:
                assert self.process.poll() is None, self.log
                assert time.monotonic() < end, self.log
                time.sleep(0.02)
            else:
                return

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()[-3000:]


def _each(option: str, values: list[str]) -> list[str]:
    return [word for value in values for word in (option, value)]


def _as_postgres(folder: Path) -> dict[str, Any]:
    """Arguments of Popen that leave root; who is somebody else already stays that."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    if os.getuid() != 0:
        return {"cwd": folder, "env": environment}
    return {"cwd": folder, "env": environment, "user": _USER, "group": _USER, "extra_groups": []}


@contextmanager
def running(*, durable: bool = False) -> Iterator[Postgres]:
    """Takes about a second to start. A `durable` one syncs each commit to disk, as a real one does.

    Its folder is a short one of its own directly below /tmp: those of tests may be closed to the
    user `postgres`, and the path of a socket must have less than 108 bytes.
    """
    folder = Path(tempfile.mkdtemp(prefix="pixerve-postgres-", dir="/tmp"))
    # A password with signs that a URL has uses of its own for.
    found = Postgres(folder, _free_port(), f"{secrets.token_hex(8)}@/:%#?", durable=durable)
    try:
        if os.getuid() == 0:
            entry = pwd.getpwnam(_USER)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        _initdb(folder, found.password)
        found.start()
        yield found
    finally:
        if found.process is not None and found.process.poll() is None:
            found.process.send_signal(3)  # at once, without a checkpoint
            found.process.wait(_START_S)
        shutil.rmtree(folder, ignore_errors=True)


def _initdb(folder: Path, password: str) -> None:
    program, secret = _program("initdb"), folder / "password"
    assert program is not None
    secret.write_text(password)
    if os.getuid() == 0:
        shutil.chown(secret, _USER)
    options = [f"--username={_USER}", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync"]
    done = subprocess.run(
        [program, "-D", str(folder / "data"), *options, *_INITDB],
        check=False,
        capture_output=True,
        text=True,
        timeout=_START_S,
        **_as_postgres(folder),
    )
    assert done.returncode == 0, done.stderr
    secret.unlink()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
