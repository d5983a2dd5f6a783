"""Hosted files in a bucket: the row says whether there is a file, the object has its bytes."""

import hashlib
from collections.abc import Callable
from typing import Any
from urllib.request import urlopen

import pytest

from delivery.backends.errors import NoObject
from jobs import bucket as shared
from jobs import (
    hosted,
    hosted_reading,
    lifecycle,
    pipeline,
)
from jobs.models import HostedFile, Job
from tests.api.caller import Api, upload_token
from tests.delivery.backends.stores import Bucket
from tests.jobs.bucketed import (
    Configure,
    away,
    bucket,
    client,
    gateway,
    keys,
    proxy,
    there,
)
from tests.jobs.making import HOPPER, SMALL_JOB
from tests.peers.faults import Fault

__all__ = ["away", "bucket", "client", "gateway", "proxy", "there"]
pytestmark = pytest.mark.django_db(transaction=True)
SHA256 = hashlib.sha256(HOPPER).hexdigest()


def made(api: Api, **job: Any) -> HostedFile:
    api.accepted(token=upload_token({**SMALL_JOB, **job}))
    pipeline.wake()
    return HostedFile.objects.get()


def test_a_file_is_there_when_its_row_says_so(api: Api, there: Bucket) -> None:
    row = made(api)
    answer = api.get(f"/files/{row.path}")
    assert hashlib.sha256(answer.body).hexdigest() == row.sha256
    HostedFile.objects.update(sha256="")
    assert api.get(f"/files/{row.path}").status_code == 404
    HostedFile.objects.all().delete()
    assert api.get(f"/files/{row.path}").status_code == 404
    assert keys(there) == [f"hosted/{row.path}"]


def test_a_row_whose_object_is_gone(api: Api, there: Bucket) -> None:
    row = made(api)
    there.client.delete_object(Bucket=there.name, Key=f"p/hosted/{row.path}")
    assert api.get(f"/files/{row.path}").status_code == 404


def test_bytes_that_are_newer_than_the_row_say_what_they_are(api: Api, there: Bucket) -> None:
    """A newer job has put its file, and commits its row a moment later."""
    row = made(api)
    content = b"newer, and of another length"
    sha256 = hashlib.sha256(content).hexdigest()
    there.client.put_object(
        Bucket=there.name,
        Key=f"p/hosted/{row.path}",
        Body=content,
        ContentType="image/webp",
        Metadata={"sha256": sha256},
    )
    answer = api.get(f"/files/{row.path}", headers={"Range": "bytes=0-4"})
    assert (answer.status_code, answer.body) == (206, b"newer")
    assert answer["ETag"] == f'"{sha256}"'
    assert answer["Content-Range"] == f"bytes 0-4/{len(content)}"
    assert answer["Content-Type"] == "image/webp"


def test_a_reader_that_leaves_early_leaves_no_bytes_for_the_next(api: Api) -> None:
    row = made(api)
    reader = hosted_reading.find(row.path).read(0, row.bytes)
    assert len(reader.read(10)) == 10
    reader.close()
    assert hashlib.sha256(api.get(f"/files/{row.path}").body).hexdigest() == row.sha256


def test_a_redirect(api: Api, configure: Configure) -> None:
    row = made(api)
    configure(staging_files="redirect")
    answer = api.get(f"/files/{row.path}")
    assert (answer.status_code, answer["Cache-Control"]) == (302, "no-store")
    assert "ETag" not in answer
    with urlopen(answer["Location"]) as fetched:
        assert hashlib.sha256(fetched.read()).hexdigest() == row.sha256
        assert fetched.headers["Content-Type"] == row.media_type


def test_a_private_file_is_not_redirected_to_strangers(api: Api, configure: Configure) -> None:
    row = made(api, private=True)
    configure(staging_files="redirect")
    assert api.get(f"/files/{row.path}").status_code == 403


def test_the_bucket_away_is_no_missing_file(api: Api, away: Callable[[], Fault]) -> None:
    row = made(api)
    fault = away()
    assert api.get(f"/files/{row.path}").status_code == 503
    etag = {"If-None-Match": f'"{row.sha256}"'}
    assert api.get(f"/files/{row.path}", headers=etag).status_code == 304
    fault.times = 0
    assert api.get(f"/files/{row.path}").status_code == 200


def test_deleting_removes_the_object(api: Api, there: Bucket) -> None:
    row = made(api)
    assert lifecycle.delete_outputs(Job.objects.get()) == 1
    assert keys(there) == []
    with pytest.raises(NoObject), shared.opened() as opened:
        opened.size(hosted.key(row.path))
