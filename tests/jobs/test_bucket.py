"""Staging in a bucket: what is here may vanish, what is there is enough."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.utils import timezone

from credentials import service
from delivery.deadline import beside
from jobs import (
    leases,
    lifecycle,
    pipeline,
    staging,
)
from jobs.errors import Unavailable
from jobs.models import Arrival, Delivery, HostedFile, Job
from jobs.postman import Postman
from tests.api.caller import Api, upload_token
from tests.delivery.backends.stores import Bucket
from tests.jobs.bucketed import (
    Configure,
    away,
    bucket,
    client,
    gateway,
    keys,
    lose_the_cache,
    nothing,
    proxy,
    there,
)
from tests.jobs.making import HOPPER, SMALL_JOB, make_job, put_in_state, stage
from tests.peers.faults import Fault, FaultyProxy
from tests.server import wait_for

__all__ = ["away", "bucket", "client", "gateway", "proxy", "there"]
pytestmark = pytest.mark.django_db(transaction=True)
SHA256 = hashlib.sha256(HOPPER).hexdigest()


# --- sources


def test_an_upload_is_there_before_it_is_a_job(there: Bucket) -> None:
    staged = stage(HOPPER)
    assert keys(there) == []  # the rest of the form may take hours to come in
    staging.keep_source(staged.uid, staged.sha256)
    assert keys(there) == [f"staging/{staged.uid}/source"]
    assert there.content(f"p/staging/{staged.uid}/source") == HOPPER
    assert Arrival.objects.get().owner == leases.myself()
    staging.discard_refused(staged.uid)
    assert (keys(there), Arrival.objects.count()) == ([], 0)
    assert not staging.folder(staged.uid).exists()


def test_a_cache_that_vanished_or_rotted_is_filled_again() -> None:
    uid = make_job("ann", HOPPER).uid
    path = staging.source(uid, SHA256, nothing)
    for spoil in (lose_the_cache, lambda: path.write_bytes(bytes(len(HOPPER)))):
        spoil()
        assert staging.source(uid, SHA256, nothing).read_bytes() == HOPPER
    assert [each.name for each in path.parent.iterdir()] == ["source"]


def test_a_source_that_is_gone_fails_its_job(there: Bucket) -> None:
    job = make_job("ann", HOPPER)
    staging.discard(job.uid)
    pipeline.wake()
    job.refresh_from_db()
    assert (job.state, job.error_code) == ("failed", "source_missing")


def test_what_is_refused_leaves_nothing(api: Api, there: Bucket) -> None:
    token = upload_token(SMALL_JOB)
    assert api.upload(HOPPER, token=token).status_code == 202
    assert api.upload(HOPPER, token=token).status_code == 409
    assert api.upload(b"no picture at all", token=token).status_code == 415
    assert keys(there) == [f"staging/{Job.objects.get().uid}/source"]
    assert not Arrival.objects.exists()


# --- a bucket that is away


def test_uploads_are_refused_then_before_they_are_read(
    api: Api, away: Callable[[], Fault], proxy: FaultyProxy
) -> None:
    away()
    for _ in range(2):
        answer = api.upload(HOPPER, token=upload_token(SMALL_JOB))
        assert (answer.status_code, answer.json()["code"]) == (503, "staging_unavailable")
        assert int(answer["Retry-After"]) > 0
    assert not Job.objects.exists()
    assert not Arrival.objects.exists()
    assert not [*staging.root().iterdir()]
    # The second one was not even tried, and nobody looked for what to remove.
    assert len(proxy.seen) <= 1


def test_a_job_waits_at_no_cost(away: Callable[[], Fault], there: Bucket) -> None:
    job = make_job("ann", HOPPER)
    lose_the_cache()
    fault = away()
    pipeline.wake()
    job.refresh_from_db()
    assert (job.state, job.attempts) == ("pending", 0)
    assert job.run_after > timezone.now()
    fault.times = 0
    Job.objects.update(run_after=timezone.now())
    pipeline.wake()
    job.refresh_from_db()
    assert (job.state, job.attempts) == ("completed", 1)
    assert keys(there) == [f"hosted/{HostedFile.objects.get().path}"]


def test_whoever_replays_then_is_told(away: Callable[[], Fault]) -> None:
    job = put_in_state(make_job(), "failed")
    fault = away()
    with pytest.raises(Unavailable):
        lifecycle.replay(job)
    fault.times = 0
    lifecycle.replay(job)
    job.refresh_from_db()
    assert job.state == "pending"


def test_a_slow_fetch_beats() -> None:
    beats: list[float] = []
    enough = time.monotonic() + 0.3

    def work() -> str:
        wait_for(lambda: time.monotonic() > enough)
        return "done"

    assert beside(work, lambda: beats.append(time.monotonic()), every_s=0.05) == "done"
    assert len(beats) >= 3
    with pytest.raises(ZeroDivisionError):
        beside(lambda: 1 // 0, nothing)


# --- deliveries


@pytest.fixture
def storage(configure: Configure, tmp_path: Path) -> Path:
    """A storage that fails until its folder is there."""
    (tmp_path / "roots").mkdir()
    configure(local_roots=(tmp_path / "roots",), delivery_schedule=(0, 0, 0, 0))
    folder = tmp_path / "roots" / "out"
    data = {"root": str(folder)}
    service.create(key="out", kind="local", data=data, owner="", who="boss")
    folder.write_text("in the way")
    return folder


def parked(there: Bucket, storage: Path) -> Job:
    """A job that waits for its storage, which is well again, and whose files are in the bucket."""
    job = make_job(
        "ann", HOPPER, {**SMALL_JOB, "directHost": False, "storageKeys": {"local": "out"}}
    )
    pipeline.wake()
    job.refresh_from_db()
    assert (job.state, job.stage) == ("processing", "delivering")
    (name,) = job.renditions.values_list("name", flat=True)
    assert sorted(keys(there)) == [
        f"staging/{job.uid}/out.{job.made_by}/{name}",
        f"staging/{job.uid}/source",
    ]
    storage.unlink()
    return job


def send() -> None:
    postman = Postman()
    postman.send_due()
    postman.close()


def test_a_clerk_without_the_files_fetches_them(there: Bucket, storage: Path) -> None:
    job = parked(there, storage)
    lose_the_cache()
    send()
    job.refresh_from_db()
    assert job.state == "completed"
    assert len([*storage.iterdir()]) == 1
    assert keys(there) == []
    assert not [*staging.root().iterdir()]


def test_a_clerk_without_the_bucket_blames_no_storage(
    there: Bucket, storage: Path, away: Callable[[], Fault]
) -> None:
    parked(there, storage)
    lose_the_cache()
    fault = away()
    before = Delivery.objects.get()
    send()
    after = Delivery.objects.get()
    assert (after.state, after.attempts, after.error_code) == (
        "waiting",
        before.attempts,
        before.error_code,
    )
    assert after.next_at > timezone.now()
    fault.times = 0
    Delivery.objects.update(next_at=timezone.now())
    send()
    assert Job.objects.get().state == "completed"


def test_files_that_nobody_has_are_made_anew(there: Bucket, storage: Path) -> None:
    job = parked(there, storage)
    lose_the_cache()
    for key in there.keys():  # noqa: SIM118 - no dict
        if "/out." in key:
            there.client.delete_object(Bucket=there.name, Key=key)
    send()
    job.refresh_from_db()
    assert job.state == "pending"
    pipeline.wake()
    send()
    assert Job.objects.get().state == "completed"
    assert keys(there) == []


def test_a_replay_needs_what_was_made_last_only(there: Bucket) -> None:
    job = make_job("ann", HOPPER)
    for fence in (1, 2, 3):
        there.client.put_object(
            Bucket=there.name, Key=f"p/staging/{job.uid}/out.{fence}/a.jpg", Body=b""
        )
    staging.keep_for_replay(job.uid, last_fence=3, made_by=2)
    assert sorted(keys(there)) == [
        f"staging/{job.uid}/out.2/a.jpg",
        f"staging/{job.uid}/source",
    ]
    assert staging.has_made(job.uid, 2, ["a.jpg"])
    assert not staging.has_made(job.uid, 1, ["a.jpg"])
    assert staging.has_source(job.uid)
