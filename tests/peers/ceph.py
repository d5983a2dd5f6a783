"""Ceph's S3 gateway on one monitor and one OSD in memory; it judges keys as AWS does."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

_PROGRAMS = ("radosgw", "ceph-mon", "ceph-osd", "ceph", "ceph-authtool", "monmaptool")
_START_S = 90

_CONFIG = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon_port}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {folder}/keyring
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
log to stderr = false
osd objectstore = memstore
memstore device bytes = 8589934592
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon warn on pool no redundancy = false
mon pg warn min per osd = 0
osd max object name len = 256
osd max object namespace len = 64
ms bind ipv6 = false
[mon.a]
mon data = {folder}/mon
[osd.0]
osd data = {folder}/osd
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw data = {folder}/rgw
rgw gc obj min wait = 1
rgw gc processor period = 30
"""


@dataclass(frozen=True)
class Ceph:
    """``endpoint`` URL, and one user who may make buckets."""

    endpoint: str
    access_key: str
    secret_key: str


def missing() -> str | None:
    """Why this machine cannot have it."""
    absent = [name for name in _PROGRAMS if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


@contextmanager
def running(folder: Path) -> Iterator[Ceph]:
    """Takes about 13 s to start."""
    ports = free_ports(2)
    cluster = _Cluster(folder, *ports)
    try:
        cluster.start()
        user = cluster.user("tester")
        yield Ceph(f"http://127.0.0.1:{ports[1]}", user["access_key"], user["secret_key"])
    finally:
        cluster.stop()


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 where nobody listens; all taken before any is given back."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


class _Cluster:
    def __init__(self, folder: Path, mon_port: int, port: int) -> None:
        self.folder = folder
        self.port = port
        self.mon_port = mon_port
        self.fsid = str(uuid.uuid4())
        self.daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        for name in ("mon", "osd", "rgw"):
            (self.folder / name).mkdir()
        (self.folder / "ceph.conf").write_text(
            _CONFIG.format(
                fsid=self.fsid, folder=self.folder, mon_port=self.mon_port, port=self.port
            )
        )
        self._keys()
        self._monitor()
        self._osd()
        self._daemon("radosgw", "-n", "client.rgw")
        self._wait_for_gateway()

    def _keys(self) -> None:
        everything = {
            "mon.": ("mon",),
            "client.admin": ("mon", "osd", "mgr", "mds"),
            "client.rgw": ("mon", "osd"),
            "osd.0": ("mon", "osd", "mgr"),
        }
        keyring = str(self.folder / "keyring")
        self._run("ceph-authtool", "--create-keyring", keyring)
        for name, of in everything.items():
            caps = [word for each in of for word in ("--cap", each, "allow *")]
            self._run("ceph-authtool", keyring, "--gen-key", "-n", name, *caps)

    def _monitor(self) -> None:
        monmap, keyring = str(self.folder / "monmap"), str(self.folder / "keyring")
        address = f"[v2:127.0.0.1:{self.mon_port}]"
        self._run("monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", address, monmap)
        make = ("--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)
        self._ceph_run("ceph-mon", *make)
        self._daemon("ceph-mon", "-i", "a")

    def _osd(self) -> None:
        osd = str(uuid.uuid4())
        self._ceph_run("ceph", "osd", "new", osd)
        self._ceph_run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._daemon("ceph-osd", "-i", "0")

    def user(self, name: str) -> dict[str, str]:
        made = self._ceph_run(
            "radosgw-admin",
            *("-n", "client.rgw", "user", "create", "--uid", name, "--display-name", name),
        )
        found: dict[str, Any] = json.loads(made)
        return dict(found["keys"][0])

    def stop(self) -> None:
        for daemon in reversed(self.daemons):
            daemon.kill()
            daemon.wait()

    def _wait_for_gateway(self) -> None:
        end = time.monotonic() + _START_S
        while True:
            try:
                with urlopen(f"http://127.0.0.1:{self.port}/", timeout=5):
                    return
            except HTTPError:
                return
            except OSError:
                assert time.monotonic() < end, self._logs()
                assert all(each.poll() is None for each in self.daemons), self._logs()
                time.sleep(0.1)

    def _logs(self) -> str:
        return "\n".join(path.read_text()[-2000:] for path in self.folder.glob("*.log"))

    def _daemon(self, program: str, *words: str) -> None:
        command = [program, "-f", "-c", str(self.folder / "ceph.conf"), *words]
        quiet = subprocess.DEVNULL
        self.daemons.append(subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet))

    def _ceph_run(self, program: str, *words: str) -> str:
        return self._run(program, "-c", str(self.folder / "ceph.conf"), *words)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=_START_S,
            env=os.environ | {"CEPH_CONF": str(self.folder / "ceph.conf")},
        )
        assert done.returncode == 0, f"{command}: {done.stderr}\n{self._logs()}"
        return done.stdout


def bucket_name() -> str:
    return f"pixerve-{secrets.token_hex(6)}"
