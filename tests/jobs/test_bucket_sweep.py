"""What killed processes leave in a bucket, and who removes it."""

import hashlib
import os
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler

from jobs import (
    arrivals,
    bucket_sweep,
    intake,
    leases,
    lifecycle,
    outcomes,
    spec,
    staging,
    transitions,
)
from jobs.bucket_sweep import EVERY_S, Sweeper
from jobs.clerk import Clerk
from jobs.errors import Unavailable
from jobs.incoming import Staged
from jobs.models import Arrival, HostedFile, Job
from jobs.sweeping import sweep_staging
from pixerve_site import first_run
from tests.delivery.backends.stores import Bucket
from tests.jobs.bucketed import (
    Configure,
    away,
    bucket,
    client,
    forget,
    gateway,
    keys,
    proxy,
    there,
    use,
)
from tests.jobs.making import HOPPER, SMALL_JOB, claim, make_job, picture, put_in_state, stage
from tests.peers.faults import Fault, FaultyProxy
from tests.server import wait_for

__all__ = ["away", "bucket", "client", "gateway", "proxy", "there"]
pytestmark = pytest.mark.django_db(transaction=True)
SHA256 = hashlib.sha256(HOPPER).hexdigest()


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


def test_a_newer_job_takes_over_what_another_announced(there: Bucket) -> None:
    """It puts its file there before it commits what the file is."""
    old = make_job("ann", HOPPER)
    outcomes.announce(old, ["a.jpg"], private=False)
    put_in_state(old, "cancelled")
    newer = make_job("ann", HOPPER)
    held = claim()
    assert held.pk == newer.pk
    outcomes.announce(held, ["a.jpg"], private=False)
    there.client.put_object(Bucket=there.name, Key="p/hosted/a.jpg", Body=b"")
    bucket_sweep.sweep()
    assert "hosted/a.jpg" in keys(there)
    assert HostedFile.objects.get().job_id == newer.pk


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
