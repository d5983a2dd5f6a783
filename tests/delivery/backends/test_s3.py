"""S3 against Ceph: what arrives is what was sent, and what the options say."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest

from delivery.backends.errors import (
    AccessDenied,
    AuthFailed,
    BadOptions,
    ChecksumMismatch,
    NoBucket,
    NoObject,
)
from delivery.errors import DeliveryError
from tests.delivery.backends.stores import Bucket, opened, put

Picture = Callable[[bytes], Path]


def test_what_arrives_is_what_was_sent(bucket: Bucket, picture: Picture) -> None:
    content = os.urandom(100_000)
    with opened(bucket.destination()) as store:
        stored = put(store, "tenant/a_800.webp", picture(content))
    assert bucket.content("tenant/a_800.webp") == content
    head = bucket.client.head_object(Bucket=bucket.name, Key="tenant/a_800.webp")
    assert (head["ContentType"], head["CacheControl"]) == ("image/webp", "max-age=60")
    assert stored.bytes == len(content)
    assert stored.checksum == f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}"
    assert stored.url == f"{bucket.gateway.endpoint}/{bucket.name}/tenant/a_800.webp"


def test_an_empty_object_and_a_second_put(bucket: Bucket, picture: Picture) -> None:
    with opened(bucket.destination()) as store:
        put(store, "a", picture(b""))
        assert store.read("a", 10) == b""
        put(store, "a", picture(b"newer"))
        assert store.read("a", 3) == b"new"


@pytest.mark.usefixtures("small_parts")
def test_a_large_file_goes_in_parts(bucket: Bucket, picture: Picture) -> None:
    content = os.urandom(11 << 20)
    with opened(bucket.destination()) as store:
        stored = put(store, "large.webp", picture(content))
        assert store.read("large.webp", 100) == content[:100]
    assert bucket.content("large.webp") == content
    head = bucket.client.head_object(Bucket=bucket.name, Key="large.webp")
    assert head["ETag"].endswith('-3"')
    assert head["ContentType"] == "image/webp"
    assert stored.bytes == len(content)
    assert bucket.unfinished() == []


def test_exists_and_delete(bucket: Bucket, picture: Picture) -> None:
    with opened(bucket.destination()) as store:
        assert not store.exists("a")
        put(store, "a", picture(b"1"))
        assert store.exists("a")
        store.delete("a")
        store.delete("a")
        assert not store.exists("a")
        with pytest.raises(NoObject):
            store.read("a", 1)


def test_the_prefix_and_the_cache_control_of_the_destination(
    bucket: Bucket, picture: Picture
) -> None:
    to = bucket.destination(
        prefix="sites/one", cache_control="no-cache", public_url="https://cdn.example/one/"
    )
    with opened(to) as store:
        stored = put(store, "a b.webp", picture(b"1"))
        assert store.exists("a b.webp")
    assert bucket.keys() == ["sites/one/a b.webp"]
    assert stored.url == "https://cdn.example/one/a%20b.webp"
    head = bucket.client.head_object(Bucket=bucket.name, Key="sites/one/a b.webp")
    assert head["CacheControl"] == "no-cache"


def test_signed_urls(bucket: Bucket, picture: Picture) -> None:
    with opened(bucket.destination(prefix="p")) as store:
        put(store, "a.webp", picture(b"signed"))
        url = store.url("a.webp", expires_s=60)
        assert url is not None
        with urlopen(url) as answer:
            assert answer.read() == b"signed"
        plain = store.url("a.webp", expires_s=None)
        assert plain == url.partition("?")[0]
    for changed in (
        url.replace("a.webp", "b.webp"),
        url.replace("Expires=60", "Expires=61"),
        plain,
    ):
        with pytest.raises(OSError, match="HTTP Error 403"):
            urlopen(changed)


def test_an_acl_reaches_the_store(bucket: Bucket, picture: Picture) -> None:
    with opened(bucket.destination(acl="public-read")) as store:
        stored = put(store, "a.webp", picture(b"public"))
    assert stored.url is not None
    with urlopen(stored.url) as answer:
        assert answer.read() == b"public"


def test_the_store_may_confirm_by_sha256(bucket: Bucket, picture: Picture) -> None:
    """Ceph 16 knows no such header and ignores it; then the ETag counts."""
    with opened(bucket.destination(checksum="sha256")) as store:
        assert put(store, "a", picture(b"1")).checksum.startswith(("sha256:", "md5:"))


def test_a_file_that_is_not_the_announced_one_is_not_sent(bucket: Bucket, picture: Picture) -> None:
    with opened(bucket.destination()) as store, pytest.raises(ChecksumMismatch, match="staging"):
        put(store, "a", picture(b"1"), sha256="0" * 64)
    assert bucket.keys() == []


@pytest.mark.parametrize("key", ["../a", "/a", "a//b", "a/../b", "", "a\\b", "a\nb"])
def test_keys_are_plain_paths(key: str, bucket: Bucket, picture: Picture) -> None:
    with opened(bucket.destination(prefix="p")) as store:
        with pytest.raises(DeliveryError) as caught:
            put(store, key, picture(b"1"))
        assert caught.value.code == "path_refused"
        with pytest.raises(DeliveryError):
            store.url(key, expires_s=60)
    assert bucket.keys() == []


def test_a_probe_leaves_nothing(bucket: Bucket) -> None:
    with opened(bucket.destination(prefix="p")) as store:
        store.probe()
    assert bucket.keys() == []


@pytest.mark.parametrize(
    ("wrong", "error", "remedy"),
    [
        ({"secret_key": "wrong"}, AuthFailed, "check access_key_id"),
        ({"access_key": "WRONG"}, AuthFailed, "check access_key_id"),
        ({"bucket": "no-such-bucket"}, NoBucket, "create the bucket 'no-such-bucket'"),
        ({"sse": "aws:kms", "sse_kms_key_id": "none"}, BadOptions, "sse"),
    ],
)
def test_what_is_wrong_is_told_with_its_remedy(
    wrong: dict[str, str], error: type[DeliveryError], remedy: str, bucket: Bucket
) -> None:
    with opened(bucket.destination(**wrong)) as store, pytest.raises(error, match=remedy) as caught:
        store.probe()
    assert caught.value.permanent
    assert caught.value.message.startswith("writing a probe object: ")
    assert bucket.gateway.secret_key not in str(caught.value)


def test_a_key_that_may_not_write(bucket: Bucket) -> None:
    """Another user's bucket."""
    bucket.client.put_bucket_policy(
        Bucket=bucket.name,
        Policy='{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*",'
        f'"Action": "s3:PutObject", "Resource": "arn:aws:s3:::{bucket.name}/*"}}]}}',
    )
    with opened(bucket.destination()) as store, pytest.raises(AccessDenied, match="PutObject"):
        store.probe()
