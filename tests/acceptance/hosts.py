"""Two hosts on one machine: a supervisor and a data folder each, and what all hosts share."""

import base64
import hashlib
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from tests.acceptance.evidence import rows
from tests.peers import ceph, postgres, redis
from tests.peers.ceph import Ceph
from tests.peers.faults import FaultyProxy, faulty
from tests.peers.postgres import Postgres
from tests.peers.redis import Redis
from tests.server import Pixerve, can_be_elsewhere, running, wait_for

PREFIX = "pixerve/one"


def missing() -> str | None:
    """Why this machine cannot have them."""
    return ceph.missing() or postgres.missing() or redis.missing()


@dataclass
class Hosts:
    """Two servers that share PostgreSQL, Redis and a bucket, which is behind a proxy."""

    a: Pixerve
    b: Pixerve
    postgres: Postgres
    redis: Redis
    proxy: FaultyProxy
    client: Any
    bucket: str

    def keys(self) -> set[str]:
        """What lies in the bucket, and what was not finished there."""
        found = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", ())
        open_ = self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", ())
        return {each["Key"] for each in (*found, *open_)}

    def check_clean(self, within_s: float = 30) -> None:
        """Nothing is left in the bucket but the hosted files, and those are what they should be."""
        files = rows(self.a, "SELECT path, sha256, bytes FROM jobs_hostedfile")
        expected = {f"{PREFIX}/hosted/{each['path']}" for each in files}
        wait_for(lambda: self.keys() == expected, within_s=within_s, what="a bucket without more")
        for each in files:
            key = f"{PREFIX}/hosted/{each['path']}"
            content = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            assert hashlib.sha256(content).hexdigest() == each["sha256"]
            assert len(content) == each["bytes"]


def settings(
    database: str, broker: str, gateway: Ceph, endpoint: str, bucket: str
) -> dict[str, str]:
    """The same on each host."""
    return {
        "PIXERVE_DATABASE_URL": database,
        "PIXERVE_BROKER_URL": broker,
        "PIXERVE_STAGING_URL": f"s3://{bucket}/{PREFIX}?endpoint={endpoint}&region=us-east-1",
        "PIXERVE_STAGING_ACCESS_KEY": gateway.access_key,
        "PIXERVE_STAGING_SECRET_KEY": gateway.secret_key,
        "PIXERVE_SECRET_KEY": secrets.token_urlsafe(48),
        "PIXERVE_CREDENTIAL_KEYS": Fernet.generate_key().decode(),
        "PIXERVE_WEBHOOK_SECRET": f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
    }


@contextmanager
def two_hosts(
    folder: Path, gateway: Ceph, client: Any, *, proxied: bool = True, **env: str
) -> Iterator[Hosts]:
    """Both with web, cluster of one worker, and clerk; they reach the bucket through a proxy unless
    that would only cost time. To each other they are on different machines, where that can be had:
    whether the other one lives, only its silence says."""
    bucket = ceph.bucket_name()
    client.create_bucket(Bucket=bucket)
    with ExitStack() as stack:
        server = stack.enter_context(postgres.running())
        database = server.make("pixerve")
        broker = stack.enter_context(redis.running())
        proxy = stack.enter_context(faulty(gateway.endpoint))
        endpoint = proxy.endpoint if proxied else gateway.endpoint
        shared: dict[str, Any] = settings(database, broker.url, gateway, endpoint, bucket) | env
        shared = {"PIXERVE_MAX_WORKERS": "1"} | shared
        a = stack.enter_context(running(folder / "a", **shared))
        name = "host-b" if can_be_elsewhere() else ""
        b = stack.enter_context(running(folder / "b", host=name, **shared))
        yield Hosts(a, b, server, broker, proxy, client, bucket)
