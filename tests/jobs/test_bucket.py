"""Staging and hosted files in a bucket: what is here may vanish, what is there is enough."""

import hashlib
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from django.db import connections
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler
from pydantic import SecretStr

from credentials import service
from delivery.backends.errors import NoObject
from delivery.deadline import beside
from delivery.destination import Destination
from jobs import bucket as shared
from jobs import bucket_sweep, hosted, hosted_reading, lifecycle, outcomes, pipeline, staging
from jobs.errors import Unavailable
from jobs.models import Delivery, HostedFile, Job
from jobs.postman import Postman
from pixerve_site import first_run
from tests.api.caller import Api, upload_token
from tests.delivery.backends.conftest import bucket, client, gateway, proxy
from tests.delivery.backends.stores import Bucket
from tests.jobs.making import HOPPER, SMALL_JOB, claim, make_job, picture, put_in_state, stage
from tests.peers.faults import Fault, FaultyProxy
from tests.server import wait_for

__all__ = ["bucket", "client", "gateway", "proxy"]
pytestmark = pytest.mark.django_db(transaction=True)
Configure = Callable[..., None]
SHA256 = hashlib.sha256(HOPPER).hexdigest()


def use(configure: Configure, bucket: Bucket, endpoint: str | None = None, **more: Any) -> None:
    found = bucket.destination(endpoint, prefix="p")
    to = Destination("s3", "staging", found.options, found.secret, False, uuid.uuid4().hex)
    forget()
    configure(staging=to, staging_url=SecretStr("s3://b"), **more)


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


# --- sources


def test_an_upload_is_there_before_it_is_a_job(there: Bucket) -> None:
    staged = stage(HOPPER)
    assert keys(there) == [f"staging/{staged.uid}/source"]
    assert there.content(f"p/staging/{staged.uid}/source") == HOPPER
    staging.discard(staged.uid)
    assert keys(there) == []
    assert not staging.folder(staged.uid).exists()


def test_a_cache_that_vanished_or_rotted_is_filled_again() -> None:
    uid = stage(HOPPER).uid
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


# --- a bucket that is away


@pytest.fixture
def away(configure: Configure, bucket: Bucket, proxy: FaultyProxy) -> Callable[[], Fault]:
    """Reaches the bucket through a proxy; call it to let everything fail from then on."""
    use(configure, bucket, proxy.endpoint)

    def fail() -> Fault:
        fault = Fault("*", "status", status=503)
        proxy.faults.append(fault)
        return fault

    return fail


def test_uploads_are_refused_then_before_they_are_read(
    api: Api, away: Callable[[], Fault], proxy: FaultyProxy
) -> None:
    away()
    for _ in range(2):
        answer = api.upload(HOPPER, token=upload_token(SMALL_JOB))
        assert (answer.status_code, answer.json()["code"]) == (503, "staging_unavailable")
        assert int(answer["Retry-After"]) > 0
    assert not Job.objects.exists()
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


# --- hosted files


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


# --- sweeping


def test_the_sweep(there: Bucket) -> None:
    running = make_job("ann", picture(1))
    claim()
    ended = put_in_state(make_job("bob", picture(2)), "completed")
    kept = put_in_state(make_job("cat", picture(3)), "failed")
    orphan = stage(picture(4))
    there.client.put_object(Bucket=there.name, Key="p/staging/no-uuid/x", Body=b"")
    assert bucket_sweep.sweep(dry_run=True) == 1
    assert len(keys(there)) == 5
    assert bucket_sweep.sweep() == 1  # the ended one; the orphan may still come in
    left = {each.split("/")[1] for each in keys(there)}
    assert left == {str(each.uid) for each in (running, kept, orphan)} | {"no-uuid"}
    assert bucket_sweep.sweep(min_age_s=-60) == 1
    assert str(orphan.uid) not in {each.split("/")[1] for each in keys(there)}
    assert ended.uid != orphan.uid


def test_unfinished_uploads_of_claims_that_are_over(there: Bucket) -> None:
    job = make_job("ann", HOPPER)
    running = claim()
    unknown = uuid.uuid4()
    begun = (f"{job.uid}/out.{running.fence}/a", f"{job.uid}/out.0/a", f"{job.uid}/source")
    for key in (*begun, f"{unknown}/source"):
        there.client.create_multipart_upload(Bucket=there.name, Key=f"p/staging/{key}")
    bucket_sweep.sweep()
    assert sorted(there.unfinished()) == sorted(
        [f"p/staging/{job.uid}/out.{running.fence}/a", f"p/staging/{unknown}/source"]
    )


def test_files_of_jobs_that_failed_before_they_were_told(there: Bucket) -> None:
    job = make_job("ann", HOPPER)
    outcomes.announce(job, ["a.jpg", "b.jpg"], private=False)
    there.client.put_object(Bucket=there.name, Key="p/hosted/a.jpg", Body=b"")
    bucket_sweep.sweep()
    assert HostedFile.objects.count() == 2
    put_in_state(job, "failed")
    bucket_sweep.sweep()
    assert not HostedFile.objects.exists()
    assert [each for each in keys(there) if each.startswith("hosted/")] == []


def test_the_sweep_of_a_bucket_that_is_away(away: Callable[[], Fault]) -> None:
    away()
    assert bucket_sweep.sweep() == 0


@pytest.mark.sql
def test_schedules_fire_once_for_all_clusters() -> None:
    first_run.ensure_schedule()
    first_run.ensure_schedule()
    assert Schedule.objects.count() == 2
    Schedule.objects.update(next_run=timezone.now())

    def look(_: int) -> None:
        scheduler()
        connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(look, range(4)))
    assert OrmQ.objects.count() == 2
