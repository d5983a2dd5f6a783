"""Real stores for these tests; each starts once, when the first test asks for it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from delivery.backends import s3_store
from tests.delivery.backends.stores import Bucket
from tests.peers import ceph
from tests.peers.faults import FaultyProxy, faulty


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ceph.Ceph]:
    """A Ceph of its own, which takes 13 s to start."""
    if reason := ceph.missing():
        pytest.skip(f"no Ceph: {reason}")
    with ceph.running(tmp_path_factory.mktemp("ceph")) as found:
        yield found


def make_client(gateway: ceph.Ceph) -> Any:
    """boto3's own client of a new gateway."""
    found = boto3.client(
        "s3",
        endpoint_url=gateway.endpoint,
        aws_access_key_id=gateway.access_key,
        aws_secret_access_key=gateway.secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )
    # The first object of all makes Ceph's pools, which takes seconds.
    found.create_bucket(Bucket="first")
    found.put_object(Bucket="first", Key="first", Body=b"")
    upload = found.create_multipart_upload(Bucket="first", Key="parts")
    found.abort_multipart_upload(Bucket="first", Key="parts", UploadId=upload["UploadId"])
    return found


@pytest.fixture(scope="session")
def client(gateway: ceph.Ceph) -> Any:
    """To look into the store behind Pixerve's back."""
    return make_client(gateway)


@pytest.fixture
def bucket(gateway: ceph.Ceph, client: Any) -> Bucket:
    """A new, empty bucket."""
    name = ceph.bucket_name()
    client.create_bucket(Bucket=name)
    return Bucket(gateway, client, name)


@pytest.fixture
def proxy(gateway: ceph.Ceph) -> Iterator[FaultyProxy]:
    """A proxy before the gateway, without faults yet."""
    with faulty(gateway.endpoint) as found:
        yield found


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Multipart from the smallest size that S3 takes parts of, so that a test's file is small."""
    monkeypatch.setattr(s3_store, "MULTIPART_ABOVE", 5 << 20)
    monkeypatch.setattr(s3_store, "PART_SIZE", 5 << 20)


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[bytes], Path]:
    """A file with these bytes."""

    def write(content: bytes) -> Path:
        path = tmp_path / "rendition"
        path.write_bytes(content)
        return path

    return write
