"""Destinations to deliver to, and looks at what has arrived there."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from delivery import backends
from delivery.addresses import AddressPolicy
from delivery.backends.base import Store, Stored
from delivery.destination import Destination
from delivery.errors import DeliveryError
from tests.delivery.peers import LOOPBACK
from tests.peers.ceph import Ceph

PUBLIC_ONLY = AddressPolicy()


@dataclass(frozen=True)
class Bucket:
    """A bucket of the gateway, and a client that looks into it."""

    gateway: Ceph
    client: Any
    name: str

    def destination(self, endpoint: str | None = None, **options: Any) -> Destination:
        given = {
            "endpoint": endpoint or self.gateway.endpoint,
            "bucket": self.name,
            "access_key": self.gateway.access_key,
            "timeout_s": 5,
        }
        secret = {"secret_key": options.pop("secret_key", self.gateway.secret_key)}
        return destination("s3", given | options, secret)

    def keys(self) -> list[str]:
        listed = self.client.list_objects_v2(Bucket=self.name)
        return [each["Key"] for each in listed.get("Contents", ())]

    def md5s(self) -> dict[str, str]:
        """What the store says of each object that was sent in one request."""
        listed = self.client.list_objects_v2(Bucket=self.name)
        return {each["Key"]: each["ETag"].strip('"') for each in listed.get("Contents", ())}

    def unfinished(self) -> list[str]:
        listed = self.client.list_multipart_uploads(Bucket=self.name)
        return [each["Key"] for each in listed.get("Uploads", ())]

    def content(self, key: str) -> bytes:
        body: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return body


def destination(
    kind: str,
    options: dict[str, Any],
    secret: dict[str, str] | None = None,
    *,
    guarded: bool = False,
    local_roots: tuple[Path, ...] = (),
) -> Destination:
    return Destination(kind, "test-key", options, secret or {}, guarded, "1", local_roots)


def opened(to: Destination, policy: AddressPolicy = LOOPBACK) -> Store:
    return backends.load(to.type).open(to, policy)


def put(store: Store, key: str, source: Path, **given: Any) -> Stored:
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    arguments = {"media_type": "image/webp", "cache_control": "max-age=60", "sha256": sha256}
    return store.put(key, source, **(arguments | given))


def probe_fails(
    to: Destination,
    error: type[DeliveryError] | tuple[type[DeliveryError], ...],
    words: str | None = None,
    policy: AddressPolicy = LOOPBACK,
) -> DeliveryError:
    """The error of a probe, which is one of these and says these words (a pattern)."""
    with opened(to, policy) as store, pytest.raises(error, match=words) as caught:
        store.probe()
    return caught.value
