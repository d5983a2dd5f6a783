"""Staging and hosting in a bucket that is emptied for each test, and may fail on demand."""

import shutil
import uuid
from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr

from delivery.destination import Destination
from jobs import bucket as shared
from jobs import staging
from tests.delivery.backends.conftest import bucket, client, gateway, proxy
from tests.delivery.backends.stores import Bucket
from tests.peers.faults import Fault, FaultyProxy

__all__ = ["bucket", "client", "gateway", "proxy"]
Configure = Callable[..., None]


def use(
    configure: Configure, bucket: Bucket, endpoint: str | None = None, timeout_s: int = 5
) -> None:
    found = bucket.destination(endpoint, prefix="p", timeout_s=timeout_s)
    to = Destination("s3", "staging", found.options, found.secret, False, uuid.uuid4().hex)
    forget()
    configure(staging=to, staging_url=SecretStr("s3://b"))


def forget() -> None:
    while shared._idle:
        shared._idle.pop()[1].close()
    shared._rest_until = 0.0


@pytest.fixture(autouse=True)
def there(configure: Configure, bucket: Bucket) -> Iterator[Bucket]:
    use(configure, bucket)
    yield bucket
    forget()


def keys(bucket: Bucket) -> list[str]:
    return [each.removeprefix("p/") for each in bucket.keys()]  # noqa: SIM118 - no dict


def lose_the_cache() -> None:
    shutil.rmtree(staging.root(), ignore_errors=True)


def nothing() -> None:
    """No beat."""


@pytest.fixture
def away(configure: Configure, bucket: Bucket, proxy: FaultyProxy) -> Callable[[], Fault]:
    """Reaches the bucket through a proxy; call it to let everything fail from then on."""
    use(configure, bucket, proxy.endpoint)

    def fail() -> Fault:
        fault = Fault("*", "status", status=503)
        proxy.faults.append(fault)
        return fault

    return fail
