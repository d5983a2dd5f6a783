"""A bucket as a folder, against Ceph: fetching, listing, removing, giving up."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from delivery.backends import s3_bucket
from delivery.backends.errors import ChecksumMismatch, NoObject
from delivery.backends.s3_bucket import Bucket, Entry, open_bucket
from tests.delivery.backends import stores
from tests.delivery.backends.stores import put

CONTENT = os.urandom(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def opened(bucket: stores.Bucket) -> Iterator[Bucket]:
    with open_bucket(bucket.destination(prefix="in/here")) as found:
        yield found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


def test_fetching_checks_the_bytes(opened: Bucket, source: Path, tmp_path: Path) -> None:
    put(opened, "a/source", source)
    target = tmp_path / "fetched"
    opened.fetch("a/source", target, sha256=SHA256)
    assert target.read_bytes() == CONTENT
    with pytest.raises(ChecksumMismatch):
        opened.fetch("a/source", tmp_path / "other", sha256="0" * 64)
    with pytest.raises(NoObject):
        opened.fetch("a/nothing", tmp_path / "other", sha256=SHA256)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["fetched", "source"]


def test_parts_say_what_the_whole_is(opened: Bucket, source: Path) -> None:
    put(opened, "a", source, media_type="image/png")
    body = opened.open("a", 10, 19)
    assert (body.read(), body.size, body.whole) == (CONTENT[10:20], len(CONTENT), False)
    assert (body.sha256, body.media_type) == (SHA256, "image/png")
    body.close()
    body = opened.open("a")
    assert (body.size, body.whole) == (len(CONTENT), True)
    assert b"".join(iter(body.read, b"")) == CONTENT
    body.close()


def test_what_is_below_a_folder(opened: Bucket, bucket: stores.Bucket, source: Path) -> None:
    for key in ("jobs/1/source", "jobs/1/out.1/a.jpg", "jobs/2/source", "other"):
        put(opened, key, source)
    found = {each.key: each.size for each in opened.entries("jobs/1")}
    assert found == dict.fromkeys(["jobs/1/source", "jobs/1/out.1/a.jpg"], len(CONTENT))
    assert opened.delete_all([*found, "jobs/1/never"]) == 3
    assert bucket.keys() == ["in/here/jobs/2/source", "in/here/other"]


def test_many_pages(
    opened: Bucket, bucket: stores.Bucket, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_bucket, "PAGE", 2)
    for number in range(5):
        put(opened, f"many/{number}", source)
    keys = [each.key for each in opened.entries("many")]
    assert keys == [f"many/{number}" for number in range(5)]
    opened.delete_all(keys)
    assert bucket.keys() == []


def test_unfinished_uploads_of_ours(opened: Bucket, bucket: stores.Bucket) -> None:
    for key in ("in/here/jobs/1", "in/here/jobs/2", "elsewhere"):
        bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)
    seen: list[Entry] = []

    def stale(entry: Entry) -> bool:
        seen.append(entry)
        return entry.key == "jobs/1"

    assert opened.abort_unfinished("jobs", stale) == 1
    assert [each.key for each in seen] == ["jobs/1", "jobs/2"]
    assert sorted(bucket.unfinished()) == ["elsewhere", "in/here/jobs/2"]


def test_a_link_says_what_it_gives(opened: Bucket, source: Path) -> None:
    put(opened, "a", source)
    link = opened.link("a", expires_s=60, ContentType="image/avif", CacheControl="no-cache")
    with urlopen(link) as answer:
        assert answer.read() == CONTENT
        assert answer.headers["Content-Type"] == "image/avif"
        assert answer.headers["Cache-Control"] == "no-cache"
