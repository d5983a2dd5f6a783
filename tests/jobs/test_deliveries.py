"""Deliveries of a job: side by side, each with a state of its own, again where one failed."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.db import OperationalError, connection
from django.utils import timezone

from credentials import service
from delivery import breaker, hosting
from jobs import (
    clerk,
    deliveries,
    deliveries_due,
    leases,
    lifecycle,
    outcomes,
    pipeline,
    sending,
    staging,
    storages,
)
from jobs.models import (
    Callback,
    Delivery,
    DeliveryState,
    Event,
    HostedFile,
    Job,
    Rendition,
    StorageHealth,
    Success,
)
from jobs.pipeline import Pulse
from jobs.postman import Postman
from jobs.spec import load
from tests.api.caller import staged_folders
from tests.delivery.peers import raw_peer
from tests.jobs.making import HOPPER, claim, make_job
from tests.server import wait_for

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]
Configure = Callable[..., None]
FORMATS = {"jpg": {"sizes": [[40, 30], [20, 20]]}}


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, configure: Configure) -> Path:
    """The folder of PIXERVE_LOCAL_ROOTS; what failed is due again at once."""
    root = tmp_path / "roots"
    root.mkdir()
    configure(local_roots=(root,), delivery_schedule=(0, 0, 0))
    sending._slow.clear()
    return root


def storage(folders: Path, key: str, **data: Any) -> Path:
    """A credential of a folder, which is there."""
    folder = folders / key
    folder.mkdir()
    data = {"root": str(folder), "public_url": f"https://cdn.example/{key}"} | data
    service.create(key=key, kind="local", data=data, owner="", who="boss")
    return folder


def break_it(folder: Path) -> None:
    """A file where the folder should be."""
    folder.rmdir()
    folder.write_text("in the way")


def mend(folder: Path) -> None:
    folder.unlink()
    folder.mkdir()


def deliver_to(*keys: str, **more: Any) -> Job:
    job = make_job(
        "ann", HOPPER, {"formats": FORMATS, "storageKeys": {"local": list(keys)}, **more}
    )
    pipeline.wake()
    job.refresh_from_db()
    return job


def states() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in Delivery.objects.all():
        found.setdefault(each.credential_key, set()).add(each.state)
    return found


def send_all(postman: Postman, until: Callable[[], bool]) -> None:
    def look() -> bool:
        postman.send_due()
        return until()

    wait_for(look, within_s=20, what="the deliveries' end")


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def empty(folder: Path) -> list[str]:
    """Take the files away, so that one that came again would be seen; their names."""
    names = names_in(folder)
    for name in names:
        (folder / name).unlink()
    return names


def test_several_destinations_and_direct_hosting(folders: Path) -> None:
    one, two = storage(folders, "one"), storage(folders, "two")
    job = deliver_to("one", "two", directHost=True)
    assert (job.state, job.stage, job.owner, job.has_source) == ("completed", "", "", False)
    assert job.timings["deliver"] > 0
    names = sorted(Rendition.objects.values_list("name", flat=True))
    assert len(names) == 2
    assert names_in(one) == names_in(two) == names
    assert HostedFile.objects.count() == 2
    for each in Delivery.objects.select_related("rendition"):
        made = each.rendition
        assert (each.state, each.attempts, each.bytes) == ("delivered", 1, made.bytes)
        assert each.checksum == f"sha256:{made.sha256}"
        assert each.url == f"https://cdn.example/{each.credential_key}/{made.name}"
    assert Success.objects.get().file_count == 2
    assert staged_folders() == []


def test_one_that_fails_is_tried_again_and_redoes_only_itself(folders: Path) -> None:
    good, bad = storage(folders, "good"), storage(folders, "bad")
    break_it(bad)
    told = {"completionCallback": "http://127.0.0.1:9/hook", "keepOriginal": True}
    job = deliver_to("good", "bad", **told)
    assert (job.state, job.stage, job.owner) == ("processing", "delivering", "")
    assert states() == {"good": {"delivered"}, "bad": {"waiting"}}
    names = empty(good)
    mend(bad)
    send_all(Postman(), lambda: Job.objects.get().state == "completed")
    assert (names_in(good), names_in(bad)) == ([], names)
    payload = Callback.objects.get().event.payload
    assert [each["code"] for each in payload["warnings"]] == ["original_metadata_kept"]
    assert {each["state"] for each in payload["deliveries"]} == {"delivered"}
    assert len(payload["deliveries"]) == 6
    assert staged_folders() == []


def test_the_last_try_fails_the_job_and_a_replay_redoes_only_what_is_missing(
    folders: Path, configure: Configure
) -> None:
    configure(delivery_schedule=(0, 0))
    good, bad = storage(folders, "good"), storage(folders, "bad")
    break_it(bad)
    job = deliver_to("good", "bad")
    send_all(Postman(), lambda: Job.objects.get().state == "failed")
    job.refresh_from_db()
    assert (job.error_code, job.has_source) == ("delivery_failed", True)
    assert "local bad: in_the_way: a file stands where a folder should be" in job.error_message
    assert states() == {"good": {"delivered"}, "bad": {"failed"}}
    made = staging.out_dir(job.uid, job.made_by)
    before = {each.name: each.stat().st_mtime_ns for each in made.iterdir()}
    assert len(before) == len(empty(good)) == 2
    mend(bad)
    lifecycle.replay(job)
    pipeline.wake()
    job.refresh_from_db()
    assert (job.state, job.made_by) == ("completed", 1)
    assert {each.name: each.stat().st_mtime_ns for each in bad.iterdir()} == before
    assert names_in(good) == []
    assert [each.type for each in Event.objects.order_by("id")] == ["job.failed", "job.completed"]


def test_a_replay_without_the_renditions_makes_them_anew(
    folders: Path, configure: Configure
) -> None:
    configure(delivery_schedule=(0, 0))
    good, bad = storage(folders, "good"), storage(folders, "bad")
    break_it(bad)
    job = deliver_to("good", "bad")
    send_all(Postman(), lambda: Job.objects.get().state == "failed")
    job.refresh_from_db()
    for each in staging.out_dir(job.uid, job.made_by).iterdir():
        each.unlink()
    mend(bad)
    names = empty(good)
    lifecycle.replay(job)
    pipeline.wake()
    job.refresh_from_db()
    assert job.state == "completed"
    assert (names_in(good), names_in(bad)) == ([], names)


@pytest.mark.parametrize("made_anew", [False, True])
def test_a_replay_after_a_newer_job_is_the_newest_everywhere(
    folders: Path, configure: Configure, made_anew: bool
) -> None:
    configure(delivery_schedule=(0, 0))
    good, bad = storage(folders, "good"), storage(folders, "bad")
    break_it(bad)
    older = deliver_to("good", "bad")
    send_all(Postman(), lambda: Job.objects.get().state == "failed")
    mend(bad)
    look = {"jpg": {"sizes": [[40, 30], [20, 20]], "settings": {"quality": 5}}}
    newer = deliver_to("good", formats=look)
    assert newer.state == "completed"
    older.refresh_from_db()
    if made_anew:
        for each in staging.out_dir(older.uid, older.made_by).iterdir():
            each.unlink()
    lifecycle.replay(older)
    pipeline.wake()
    older.refresh_from_db()
    assert older.state == "completed"
    current = Rendition.objects.filter(superseded=False)
    assert set(current.values_list("job", flat=True)) == {older.pk}
    recorded = dict(current.values_list("name", "sha256"))
    for folder in (good, bad):
        found = {
            each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in folder.iterdir()
        }
        assert found == recorded


def test_a_permanent_error_is_not_tried_again_and_names_the_remedy(folders: Path) -> None:
    storage(folders, "one")
    good = storage(folders, "good")
    service.delete("one", who="boss")
    service.create(
        key="one", kind="local", data={"root": str(folders / "one")}, owner="", who="boss"
    )
    settings.PIXERVE = settings.PIXERVE.model_copy(update={"local_roots": (good,)})
    job = deliver_to("good", "one")
    assert (job.state, job.error_code) == ("failed", "delivery_failed")
    assert "local one: bad_options: " in job.error_message
    assert "PIXERVE_LOCAL_ROOTS" in job.error_message
    assert set(Delivery.objects.values_list("attempts", flat=True)) == {1}
    assert states() == {"good": {"delivered"}, "one": {"failed"}}


def test_a_lost_key_fails_the_job(folders: Path, settings: Any) -> None:
    s3 = {"bucket": "pictures", "access_key": "AKIA1", "secret_key": "hush-secret"}
    service.create(key="sealed", kind="s3", data=s3, owner="", who="boss")
    make_job("ann", HOPPER, {"formats": FORMATS, "storageKeys": {"s3": "sealed"}})
    settings.KEYS = replace(settings.KEYS, credential_keys=(Fernet.generate_key().decode(),))
    pipeline.wake()
    job = Job.objects.get()
    assert (job.state, job.error_code) == ("failed", "credential_unreadable")
    assert "s3 sealed" in job.error_message
    assert "PIXERVE_CREDENTIAL_KEYS" in job.error_message


def test_a_worker_that_is_lost_while_delivering(folders: Path) -> None:
    """Its successor goes on from the rows, without converting again."""
    one = storage(folders, "one")
    job = deliver_to_half(one)
    lost = claim("here/1/1")
    # what the killed worker left: planned rows, none of them noted, and half a file
    plan_of(lost)
    names = leave_half_files(one)
    assert leases.give_back(lost)
    pipeline.wake()
    job.refresh_from_db()
    assert (job.state, job.made_by) == ("completed", lost.fence)
    assert job.fence > lost.fence
    assert states() == {"one": {"delivered"}}
    assert names_in(one) == names


def test_a_worker_that_is_lost_while_hosting() -> None:
    make_job("ann", HOPPER)
    lost = claim("here/1/1")
    assert leases.give_back(lost)
    made = Job.objects.get()
    root = Path(settings.PIXERVE.serve_dir)
    root.mkdir()
    name = f"{made.reference_id}_dot_30_40_.jpg"
    half = root / f"{hosting._temporary_prefix(name)}0123456789abcdef"
    half.write_bytes(b"half")
    pipeline.wake()
    assert names_in(root) == [name]


def leave_half_files(folder: Path) -> list[str]:
    """What publishes of the job's renditions leave when they are killed; the renditions' names."""
    names = sorted(Rendition.objects.values_list("name", flat=True))
    for name in names:
        (folder / f"{hosting._temporary_prefix(name)}0123456789abcdef").write_bytes(b"half")
    return names


def test_what_a_job_that_failed_meanwhile_left_is_removed(folders: Path) -> None:
    one = storage(folders, "one")
    deliver_to_half(one)
    lost = claim("here/1/1")
    plan_of(lost)
    leave_half_files(one)
    assert outcomes.fail(lost, "worker_lost", "three times")
    send_all(Postman(), lambda: states() == {"one": {"failed"}})
    assert names_in(one) == []
    assert set(Delivery.objects.values_list("error_code", flat=True)) == {"given_up"}
    assert Event.objects.count() == 1
    assert not StorageHealth.objects.exists()
    lifecycle.replay(Job.objects.get())
    pipeline.wake()
    assert Job.objects.get().state == "completed"


def test_what_a_job_that_was_cancelled_meanwhile_left_is_removed(folders: Path) -> None:
    one = storage(folders, "one")
    job = deliver_to_half(one)
    lost = claim("here/1/1")
    plan_of(lost)
    leave_half_files(one)
    assert leases.give_back(lost)
    lifecycle.cancel(job)
    send_all(Postman(), lambda: states() == {"one": {"failed"}})
    assert names_in(one) == []
    assert Job.objects.get().state == "cancelled"
    assert Event.objects.count() == 1


def deliver_to_half(folder: Path) -> Job:
    return make_job("ann", HOPPER, {"formats": FORMATS, "storageKeys": {"local": folder.name}})


def plan_of(job: Job) -> None:
    """What a worker does until its first delivery."""
    outcome = pipeline._convert(job, load(job.spec), Pulse(job))
    deliveries.plan(job, outcome.renditions)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_clerks_end_a_job_once(folders: Path, order: tuple[int, int]) -> None:
    """Each holds one of the last two deliveries; whoever notes last ends the job."""
    one = storage(folders, "one")
    break_it(one)
    deliver_to("one")
    mend(one)
    # the first round stopped at the first failure
    clerks = [Postman(threads=1), Postman(threads=1)]
    for each in clerks:
        wait_for(each.send_due, what="a delivery of its own")
    found = [wait_for(lambda each=each: each._bag.finished(1.0), what="an end") for each in clerks]
    for number in order:
        assert Job.objects.get().state == "processing"
        clerks[number]._write(found[number])
    assert Job.objects.get().state == "completed"
    assert Success.objects.count() == Event.objects.count() == 1


def test_a_result_that_the_database_does_not_take_is_kept(folders: Path) -> None:
    bad = storage(folders, "bad")
    break_it(bad)
    deliver_to("bad")
    mend(bad)
    postman = Postman()
    count = postman.send_due()
    wait_for(lambda: postman._carrier.done.qsize() == count, what="the deliveries")
    with connection.execute_wrapper(away), pytest.raises(OperationalError):
        postman.send_due()
    sent = empty(bad)
    assert len(sent) == count
    send_all(postman, lambda: Job.objects.get().state == "completed")
    assert not {*sent} & {*names_in(bad)}


def away(*args: object) -> None:
    raise OperationalError("away")


def test_an_open_breaker_lets_deliveries_wait_without_costing_tries(folders: Path) -> None:
    good, bad = storage(folders, "good"), storage(folders, "bad")
    now = timezone.now().timestamp()
    StorageHealth.objects.create(pk="bad", failures=breaker.LIMIT, opened_at=now)
    job = deliver_to("good", "bad")
    assert job.stage == "delivering"
    postman = Postman()
    assert postman.send_due() == 0
    waiting = Delivery.objects.filter(credential_key="bad")
    assert set(waiting.values_list("state", "attempts")) == {("waiting", 0)}
    assert names_in(bad) == []
    assert len(names_in(good)) == 2
    # its pause is over: one trial, and the store is found to be well
    StorageHealth.objects.update(opened_at=now - breaker.PAUSE_S - 1)
    assert postman.send_due() == 1
    send_all(postman, lambda: Job.objects.get().state == "completed")
    assert storages.describe()["bad"]["breaker"] == "closed"


def test_a_delivery_that_waits_too_long_fails_with_storage_and_remedy(
    folders: Path, configure: Configure
) -> None:
    """Behind an open breaker nothing is tried, so no number of attempts ends it."""
    storage(folders, "good")
    storage(folders, "bad")
    reason = {"last_error_code": "timeout", "last_error_message": "no answer"}
    now = timezone.now()
    StorageHealth.objects.create(pk="bad", failures=9, opened_at=now.timestamp(), **reason)
    deliver_to("good", "bad")
    configure(delivery_max_age=7200)
    postman = Postman()
    Delivery.objects.update(since=now - timedelta(hours=1, minutes=59))
    assert postman.send_due() == 0
    assert Job.objects.get().state == "processing"
    Delivery.objects.update(since=now - timedelta(hours=2))
    postman.send_due()
    job = Job.objects.get()
    assert (job.state, job.error_code) == ("failed", "delivery_failed")
    assert job.error_message == (
        "local bad: delivery_expired: not delivered within 2 h, last timeout: no answer; "
        "mend the storage, then replay the job"
    )
    assert states() == {"good": {"delivered"}, "bad": {"failed"}}
    lifecycle.replay(job)
    pipeline.wake()
    postman.send_due()
    send_all(postman, lambda: Job.objects.get().state == "completed")


def hanging(port: int) -> None:
    data = {"endpoint": f"http://127.0.0.1:{port}", "bucket": "pictures", "access_key": "AKIA1"}
    data |= {"secret_key": "hush-secret", "timeout_s": 20}
    service.create(key="hanging", kind="s3", data=data, owner="", who="boss")


def test_a_storage_that_hangs_holds_a_worker_once_and_for_a_moment(
    folders: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sending, "STALL_S", 0.5)
    good = storage(folders, "good")
    keys = {"s3": "hanging", "local": "good"}
    with raw_peer(lambda _, stop: stop.wait() and None) as port:
        hanging(port)
        started = time.monotonic()
        for subject in ("ann", "bob"):
            make_job(subject, HOPPER, {"formats": FORMATS, "storageKeys": keys})
            pipeline.wake()
        assert states() == {"hanging": {"waiting"}, "good": {"delivered"}}
        assert caplog.text.count("storage hanging is slow") == 1, "the second job's did not try"
        assert time.monotonic() - started < 5
        # The clerk waits for a few at a time, and sends to others even if these are all it may.
        empty(good)
        break_it(good)
        make_job("cat", HOPPER, {"formats": FORMATS, "storageKeys": keys})
        pipeline.wake()
        mend(good)
        postman = Postman(threads=sending.EACH_STORAGE)
        missing = Delivery.objects.filter(credential_key="good").exclude(state="delivered")
        send_all(postman, lambda: not missing.exists())
        assert postman._bag.count() == {"hanging": sending.EACH_STORAGE}


def test_repeated_failures_open_the_breaker(folders: Path, configure: Configure) -> None:
    configure(delivery_schedule=(0,) * 20)
    bad = storage(folders, "bad")
    break_it(bad)
    deliver_to("bad")
    send_all(Postman(), lambda: storages.blocked(storages.failing()) == {"bad"})
    shown = storages.describe()["bad"]
    assert (shown["breaker"], shown["failures"]) == ("open", breaker.LIMIT)
    assert shown["last_error"]["code"]
    tries = sum(Delivery.objects.values_list("attempts", flat=True))
    assert tries <= breaker.LIMIT + 1  # two are on their way at a time


def test_a_clerk_that_died_is_succeeded(folders: Path) -> None:
    bad = storage(folders, "bad")
    break_it(bad)
    deliver_to("bad")
    mend(bad)
    delivery = deliveries_due.due().first()
    assert delivery
    assert deliveries_due.claim(delivery, f"{leases._host()}/999999999/1")
    send_all(Postman(), lambda: Job.objects.get().state == "completed")


def test_nobody_takes_a_parked_job_for_lost(folders: Path) -> None:
    bad = storage(folders, "bad")
    break_it(bad)
    deliver_to("bad")
    assert clerk.reap(leases.Reaper(lease_s=0)) == 0
    assert clerk.Watchdog()._unclaimed() is None


def test_staging_that_lost_a_parked_jobs_renditions(folders: Path) -> None:
    bad = storage(folders, "bad")
    break_it(bad)
    job = deliver_to("bad")
    mend(bad)
    for each in staging.out_dir(job.uid, job.made_by).iterdir():
        each.unlink()
    postman = Postman()
    postman.send_due()
    postman.close()
    assert Job.objects.get().state == "pending"
    pipeline.wake()
    send_all(Postman(), lambda: Job.objects.get().state == "completed")
    assert len(names_in(bad)) == 2


def test_direct_hosting_alone_has_no_deliveries() -> None:
    make_job("ann", HOPPER)
    pipeline.wake()
    assert Job.objects.get().state == "completed"
    assert not Delivery.objects.exists()
    assert not StorageHealth.objects.exists()


def test_what_a_stopping_cluster_did_not_start_is_the_clerks(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage(folders, "one")
    make_job("ann", HOPPER, {"formats": FORMATS, "storageKeys": {"local": "one"}})
    job = claim()
    plan_of(job)
    monkeypatch.setattr(sending.cluster, "stopping", lambda: True)
    pipeline._make_and_deliver(job)
    assert states() == {"one": {"waiting"}}
    assert Delivery.objects.filter(state=DeliveryState.SENDING).count() == 0
    send_all(Postman(), lambda: Job.objects.get().state == "completed")


def test_a_clerk_says_that_it_is_still_at_it(folders: Path) -> None:
    """One on another host cannot see it, and takes over from one that says nothing for a minute."""
    bad = storage(folders, "bad")
    break_it(bad)
    job = deliver_to("bad")
    first = deliveries.of(job).order_by("id")[0]
    assert deliveries_due.claim(first, "elsewhere/1/1")
    assert first.pk not in deliveries_due.due().values_list("pk", flat=True)
    Delivery.objects.update(next_at=timezone.now())
    assert deliveries_due.hold([first], "somebody/else/1") == 0
    assert first.pk in deliveries_due.due().values_list("pk", flat=True)
    assert deliveries_due.hold([first], "elsewhere/1/1") == 1
    assert first.pk not in deliveries_due.due().values_list("pk", flat=True)
