"""Staging and hosted files in a bucket: what is here may vanish, what is there is enough."""

import hashlib
import os
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
from jobs import (
    arrivals,
    bucket_sweep,
    hosted,
    hosted_reading,
    intake,
    leases,
    lifecycle,
    outcomes,
    pipeline,
    spec,
    staging,
    transitions,
)
from jobs import bucket as shared
from jobs.bucket_sweep import EVERY_S, Sweeper
from jobs.clerk import Clerk
from jobs.errors import Unavailable
from jobs.incoming import Staged
from jobs.models import Arrival, Delivery, HostedFile, Job
from jobs.postman import Postman
from jobs.sweeping import sweep_staging
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
    arriving = put(picture(4))
    there.client.put_object(Bucket=there.name, Key="p/staging/no-uuid/x", Body=b"")
    assert bucket_sweep.sweep(dry_run=True) == 1
    assert len(keys(there)) == 5
    assert bucket_sweep.sweep() == 1
    left = {each.split("/")[1] for each in keys(there)}
    assert left == {str(each.uid) for each in (running, kept, arriving)} | {"no-uuid"}
    assert str(ended.uid) not in left
    arrivals.withdraw(arriving.uid)  # as if its process had been killed right before the discard
    assert bucket_sweep.sweep() == 1
    assert str(arriving.uid) not in {each.split("/")[1] for each in keys(there)}


def put(content: bytes) -> Staged:
    """An upload that is in the bucket, and is going to be a job."""
    staged = stage(content)
    staging.keep_source(staged.uid, staged.sha256)
    return staged


def test_what_claims_that_are_over_made_goes(there: Bucket) -> None:
    job = put_in_state(make_job("ann", HOPPER), "processing", fence=3, made_by=2)
    for number in (1, 2, 3):
        key = f"p/staging/{job.uid}/out.{number}/a.jpg"
        there.client.put_object(Bucket=there.name, Key=key, Body=b"")
    assert bucket_sweep.sweep() == 1
    parts = sorted(each.split("/")[2] for each in keys(there))
    assert parts == ["out.2", "out.3", "source"]


# --- uploads whose process is gone


def dead() -> str:
    return f"{leases.myself().partition('/')[0]}/999999999/1"


def test_who_arrives_no_more_is_removed_at_once(there: Bucket) -> None:
    gone, here = put(picture(1)), put(picture(2))
    begun = f"p/staging/{gone.uid}/source"
    there.client.create_multipart_upload(Bucket=there.name, Key=begun)
    Arrival.objects.filter(uid=gone.uid).update(owner=dead())
    Sweeper().look()
    assert (keys(there), there.unfinished()) == ([f"staging/{here.uid}/source"], [])
    assert list(Arrival.objects.values_list("uid", flat=True)) == [here.uid]


def test_on_another_host_only_silence_says_so(there: Bucket) -> None:
    staged = put(HOPPER)
    Arrival.objects.update(owner="elsewhere@b007.1/1/1")
    patient, hasty = arrivals.Lost(silent_s=60), arrivals.Lost(silent_s=0)
    assert patient.take() == []
    assert arrivals.beat(staged.uid)
    assert patient.take() == []
    assert hasty.take() == [staged.uid]
    assert not arrivals.beat(staged.uid)


def test_whoever_was_taken_for_gone_makes_no_job_of_it(there: Bucket) -> None:
    """A process that was stopped for minutes, and goes on right before its transaction."""
    staged = stage(HOPPER)
    keep, taken = staging.keep_source, []

    def keep_and_sleep(*args: Any) -> None:
        keep(*args)
        taken.extend(arrivals.Lost(silent_s=0).take())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "keep_source", keep_and_sleep)
        with pytest.raises(Unavailable) as caught:
            intake.accept(staged, spec.parse(SMALL_JOB), "ann")
    assert (caught.value.code, taken) == ("staging_unavailable", [staged.uid])
    assert not Job.objects.exists()
    staging.discard_refused(staged.uid)
    assert keys(there) == []


def test_a_slow_put_gives_signs_of_life(
    configure: Configure, bucket: Bucket, proxy: FaultyProxy
) -> None:
    use(configure, bucket, proxy.endpoint, timeout_s=1)
    proxy.faults.append(Fault("PUT", "hang"))
    beats: list[int] = []

    def look() -> bool:
        beats.extend(Arrival.objects.values_list("beat", flat=True))
        connections.close_all()
        return max(beats, default=0) > 1

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(arrivals, "BEAT_S", 0.05)
        staged = stage(HOPPER)
        seen = pool.submit(wait_for, look)
        with pytest.raises(Unavailable):
            staging.keep_source(staged.uid, staged.sha256)
        assert seen.result(20)


def test_what_a_bucket_that_was_away_kept_goes_by_itself(
    away: Callable[[], Fault], there: Bucket
) -> None:
    job = make_job("ann", HOPPER)
    fault = away()
    lifecycle.cancel(job)
    assert len(keys(there)) == 1
    fault.times = 0
    forget()
    clerk = Clerk()
    clerk.tick()
    wait_for(lambda: keys(there) == [], what="a clean bucket")
    assert EVERY_S <= 60


def test_unfinished_uploads_of_claims_that_are_over(there: Bucket) -> None:
    job = make_job("ann", HOPPER)
    transitions.put_back(claim())
    running = claim()
    unknown = uuid.uuid4()
    arriving = put(picture(1))
    begun = (f"{job.uid}/out.{running.fence}/a", f"{job.uid}/out.1/a", f"{job.uid}/source")
    for key in (*begun, f"{unknown}/source", f"{arriving.uid}/source"):
        there.client.create_multipart_upload(Bucket=there.name, Key=f"p/staging/{key}")
    bucket_sweep.sweep()
    assert sorted(there.unfinished()) == sorted(
        [f"p/staging/{job.uid}/out.{running.fence}/a", f"p/staging/{arriving.uid}/source"]
    )


def test_unfinished_uploads_of_hosted_files(there: Bucket) -> None:
    job = make_job("ann", HOPPER)
    claim()
    outcomes.announce(job, ["a.jpg"], private=False)
    for name in ("a.jpg", "nobodys.jpg"):
        there.client.create_multipart_upload(Bucket=there.name, Key=f"p/hosted/{name}")
    bucket_sweep.sweep()
    assert there.unfinished() == ["p/hosted/a.jpg"]
    put_in_state(job, "pending", owner="")
    bucket_sweep.sweep()
    assert there.unfinished() == []


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


def test_what_a_converter_writes_for_long_is_not_swept(there: Bucket) -> None:
    """It may take minutes for one rendition; a clock that is set forth makes minutes of seconds."""
    job = put_in_state(make_job(), "processing", fence=1)
    staging.out_dir(job.uid, 1).mkdir(parents=True, exist_ok=True)
    written, fetched = (staging.out_dir(job.uid, 1) / name for name in (".7-7.part", ".a.jpg.0011"))
    for path in (written, fetched):
        path.write_bytes(b"half")
        os.utime(path, (1, 1))
    sweep_staging()
    assert (written.exists(), fetched.exists()) == (True, False)


def test_the_sweep_of_a_bucket_that_is_away(away: Callable[[], Fault]) -> None:
    away()
    assert bucket_sweep.sweep() == 0


@pytest.mark.sql
def test_schedules_fire_once_for_all_clusters() -> None:
    first_run.ensure_schedule()
    first_run.ensure_schedule()
    assert Schedule.objects.count() == 1
    Schedule.objects.update(next_run=timezone.now())

    def look(_: int) -> None:
        scheduler()
        connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(look, range(4)))
    assert OrmQ.objects.count() == 1
