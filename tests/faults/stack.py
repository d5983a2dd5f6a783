"""The two stacks: a whole `manage.py serve` each, a storage to deliver to, and a receiver.

embedded: SQLite, wake-ups by the database, staging in the data folder; deliveries go to an sshd.
shared: PostgreSQL, Redis, staging and hosted files in a bucket; deliveries go to another bucket.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psycopg

from tests.acceptance import hosts
from tests.acceptance.delivering import register
from tests.acceptance.endpoint import Endpoint, endpoint
from tests.faults.health import Prober, probed
from tests.peers import ceph, postgres, redis, ssh
from tests.peers.ceph import Ceph
from tests.peers.postgres import Postgres
from tests.peers.redis import Redis
from tests.peers.ssh import Sshd
from tests.peers.wires import Wiretap, tapped
from tests.server import Pixerve, running

WORKERS = 2
Opener = Callable[..., AbstractContextManager["Stack"]]


class Files(Protocol):
    """What lies somewhere, seen from outside."""

    def below(self, sub_dir: str) -> dict[str, str]:
        """SHA-256 by name of all that lies below a folder, whatever its name."""

    def leftovers(self) -> list[str]:
        """What was begun there and not finished."""


@dataclass(frozen=True)
class Folder:
    root: Path

    def below(self, sub_dir: str) -> dict[str, str]:
        place = self.root / sub_dir
        found = [each for each in place.rglob("*") if not each.is_dir()]
        return {
            str(each.relative_to(place)): hashlib.sha256(each.read_bytes()).hexdigest()
            for each in found
        }

    def leftovers(self) -> list[str]:
        return [str(each) for each in self.root.rglob(".*")]


@dataclass(frozen=True)
class Bucket:
    client: Any
    name: str
    prefix: str = ""

    def below(self, sub_dir: str) -> dict[str, str]:
        place = f"{self.prefix}{sub_dir}/"
        return {key.removeprefix(place): self._sha256(key) for key in self.keys(place)}

    def keys(self, below: str) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.name, Prefix=below)
        return [each["Key"] for page in found for each in page.get("Contents", ())]

    def _sha256(self, key: str) -> str:
        body = self.client.get_object(Bucket=self.name, Key=key)["Body"]
        return hashlib.sha256(body.read()).hexdigest()

    def leftovers(self) -> list[str]:
        listed = self.client.list_multipart_uploads(Bucket=self.name)
        return [each["Key"] for each in listed.get("Uploads", ())]


@dataclass
class Stack:
    """A running server and what is around it. `wire` leads to the storage with the credential
    `storage_key`, `staging_wire` to the bucket of staging, where there is one."""

    name: str
    server: Pixerve
    prober: Prober
    receiver: Endpoint
    storage_kind: str
    storage_key: str
    delivered: Files
    hosted: Files
    wire: Wiretap
    staged: Bucket | None = None
    staging_wire: Wiretap | None = None
    postgres: Postgres | None = None
    redis: Redis | None = None
    another: Opener = field(default=None, repr=False)  # type: ignore[assignment]

    def sources(self) -> set[str]:
        """Names of the uploads that are staged whole, and of those that are coming in."""
        if self.staged:
            return set(self.staged.keys(f"{hosts.PREFIX}/staging/"))
        return {str(each) for each in (self.server.data / "staging").glob("*/source")}

    def leftovers(self) -> list[str]:
        """All that is begun or staged, anywhere."""
        staging = [str(each) for each in (self.server.data / "staging").iterdir()]
        there = self.staged.keys(f"{hosts.PREFIX}/staging/") if self.staged else []
        begun = [*self.delivered.leftovers(), *self.hosted.leftovers()]
        return [*staging, *there, *begun, *self._scratch()]

    def _scratch(self) -> list[str]:
        """Folders of converter children that live no more."""
        used = {each.cwd() for each in self.server.processes().values()}
        scratch = (self.server.data / "run" / "work").glob("*/*")
        return [str(each) for each in scratch if str(each) not in used]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes a job's row for the length of a `with`."""
        url = self.server.env.get("PIXERVE_DATABASE_URL")
        if url:
            with psycopg.connect(url) as shared:
                shared.execute("LOCK TABLE jobs_job IN EXCLUSIVE MODE")
                yield
                shared.rollback()
            return
        path = self.server.data / "pixerve.sqlite3"
        with closing(sqlite3.connect(path, isolation_level=None, timeout=20)) as embedded:
            embedded.execute("BEGIN IMMEDIATE")
            yield
            embedded.execute("ROLLBACK")


def missing(name: str) -> str | None:
    """Why this machine cannot have it."""
    return ssh.missing() if name == "embedded" else hosts.missing()


@contextmanager
def embedded(folder: Path, sshd: Sshd, **env: str) -> Iterator[Stack]:
    """It takes about 3 s to start."""
    place = folder / "storage"
    place.mkdir(parents=True)
    with ExitStack() as open_:
        wire = open_.enter_context(tapped(sshd.port))
        receiver = open_.enter_context(endpoint())
        server = open_.enter_context(running(folder / "server", **_settings(env)))
        key = register(server, "sftp", _sftp(sshd, wire, place))
        yield Stack(
            "embedded",
            server,
            open_.enter_context(probed(server)),
            receiver,
            "sftp",
            key,
            delivered=Folder(place),
            hosted=Folder(server.serve_dir),
            wire=wire,
            another=lambda where, **more: embedded(where, sshd, **more),
        )


def _settings(env: dict[str, str]) -> dict[str, Any]:
    return {"PIXERVE_MAX_WORKERS": str(WORKERS), **env}


def _sftp(sshd: Sshd, wire: Wiretap, root: Path) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": wire.port,
        "user": sshd.user,
        "host_key": sshd.host_key(),
        "root": str(root),
        "private_key": sshd.private_key,
    }


@contextmanager
def shared(folder: Path, gateway: Ceph, client: Any, **env: str) -> Iterator[Stack]:
    """It takes about 5 s to start, once there is a gateway."""
    with ExitStack() as open_:
        database = open_.enter_context(postgres.running())
        broker = open_.enter_context(redis.running())
        yield open_.enter_context(_shared(folder, gateway, client, database, broker, **env))


@contextmanager
def _shared(
    folder: Path, gateway: Ceph, client: Any, database: Postgres, broker: Redis, **env: str
) -> Iterator[Stack]:
    staging, storage = (Bucket(client, ceph.bucket_name()) for _ in range(2))
    for bucket in (staging, storage):
        client.create_bucket(Bucket=bucket.name)
    port = int(gateway.endpoint.rpartition(":")[2])
    with ExitStack() as open_:
        wire, staging_wire = (open_.enter_context(tapped(port)) for _ in range(2))
        receiver = open_.enter_context(endpoint())
        endpoint_url = f"http://127.0.0.1:{staging_wire.port}"
        url = database.make(staging.name)
        common = hosts.settings(url, broker.url, gateway, endpoint_url, staging.name)
        server = open_.enter_context(running(folder / "server", **_settings(common | env)))
        key = register(server, "s3", _s3(gateway, wire, storage))
        yield Stack(
            "shared",
            server,
            open_.enter_context(probed(server)),
            receiver,
            "s3",
            key,
            delivered=storage,
            hosted=Bucket(client, staging.name, f"{hosts.PREFIX}/hosted/"),
            wire=wire,
            staged=staging,
            staging_wire=staging_wire,
            postgres=database,
            redis=broker,
            another=lambda where, **more: _shared(where, gateway, client, database, broker, **more),
        )


def _s3(gateway: Ceph, wire: Wiretap, bucket: Bucket) -> dict[str, Any]:
    return {
        "endpoint": f"http://127.0.0.1:{wire.port}",
        "bucket": bucket.name,
        "access_key": gateway.access_key,
        "secret_key": gateway.secret_key,
    }
