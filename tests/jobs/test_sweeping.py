"""What a kill leaves on this host goes soon, and nothing that somebody still needs."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings

from jobs import clerk, hosted, intake, leases, staging, sweeping
from jobs.holds import Hold
from jobs.incoming import Incoming
from jobs.models import HostedFile, Job
from jobs.sweeping import prune_staging, sweep_staging
from tests.api.caller import staged_folders
from tests.jobs.making import DOT, LIMIT, claim, make_job, put_in_state, stage

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]


def age(path: Path, seconds: float) -> Path:
    moment = time.time() - seconds
    os.utime(path, (moment, moment))
    return path


# Uploads that became no job


def test_an_upload_that_still_comes_in_stays_however_long_it_takes() -> None:
    incoming = Incoming("slow.png", limit=LIMIT)
    incoming.write(DOT[:100])
    age(staging.folder(incoming.uid), 10_000)
    assert prune_staging(dry_run=True) == 0
    assert sweep_staging() == 0
    incoming.write(DOT[100:])
    staged = incoming.finish()
    age(staging.folder(incoming.uid), 10_000)
    assert sweep_staging() == 0
    assert staging.source_path(staged.uid).read_bytes() == DOT


@contextmanager
def another_process(uid: uuid.UUID) -> Iterator["subprocess.Popen[str]"]:
    """Somebody else who brings this upload."""
    code = (
        "import sys; from pathlib import Path; from jobs.holds import Hold;"
        " hold = Hold(Path(sys.argv[1])); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(staging.folder(uid))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "\n"
        yield process
        process.kill()


def test_what_a_killed_process_was_bringing_goes_with_it() -> None:
    uid = uuid.uuid4()
    staging.folder(uid).mkdir(parents=True)
    staging.source_path(uid).write_bytes(b"half")
    age(staging.folder(uid), 3600)
    with another_process(uid) as process:
        assert sweep_staging() == 0
        process.kill()
        process.wait(10)
        assert sweep_staging() == 1
    assert staged_folders() == []


def test_a_folder_that_was_made_this_instant_may_not_be_locked_yet() -> None:
    staging.folder(uuid.uuid4()).mkdir(parents=True)
    assert (sweep_staging(), sweep_staging(min_age_s=-1)) == (0, 1)


def test_while_it_is_swept_nobody_begins_to_bring_it() -> None:
    staged = stage()
    with pytest.raises(BlockingIOError):
        Hold(staging.folder(staged.uid))


def test_the_descriptors_of_ended_uploads_are_closed() -> None:
    def there() -> int:
        return len([*Path("/proc/self/fd").iterdir()])

    make_job("ann")  # opens the database
    before = there()
    incoming = Incoming("a.png", limit=LIMIT)
    incoming.abort()
    make_job("bob")
    assert there() == before


def test_whether_a_job_was_made_of_it() -> None:
    assert intake.is_nobodys(uuid.uuid4())
    assert not intake.is_nobodys(make_job().uid)
    assert Job.objects.count() == 1


# Jobs


@pytest.mark.parametrize("state", ["created", "pending", "processing", "failed"])
def test_what_a_job_needs_stays_however_old(state: str) -> None:
    job = put_in_state(make_job(), state)
    age(staging.folder(job.uid), 10**7)
    assert prune_staging(min_age_s=0) == 0
    assert staging.source_path(job.uid).exists()


@pytest.mark.parametrize(
    ("state", "has_source"), [("completed", False), ("cancelled", False), ("failed", False)]
)
def test_what_an_ended_job_left_goes_at_once(state: str, has_source: bool) -> None:
    job = put_in_state(make_job(), state, has_source=has_source)
    assert staging.folder(job.uid).exists()
    assert prune_staging() == 1
    assert staged_folders() == []


def with_outputs(job: Job, *claims: int) -> Path:
    for number in claims:
        staging.out_dir(job.uid, number).mkdir()
        (staging.out_dir(job.uid, number) / "a.jpg.part").write_bytes(b"half")
    return staging.folder(job.uid)


@pytest.mark.parametrize(
    ("state", "fence", "made_by", "stay"),
    [
        ("processing", 3, 0, ["out.3"]),
        ("processing", 3, 2, ["out.2", "out.3"]),  # 3 delivers what 2 made
        ("pending", 4, 0, []),
        ("pending", 4, 3, ["out.3"]),
        ("failed", 3, 3, ["out.3"]),
        ("failed", 3, 0, []),
    ],
)
def test_what_claims_that_are_over_made_goes(
    state: str, fence: int, made_by: int, stay: list[str]
) -> None:
    job = put_in_state(make_job(), state, fence=fence, made_by=made_by)
    folder = with_outputs(job, 1, 2, 3)
    assert sweep_staging() == 0
    assert sorted(each.name for each in folder.iterdir()) == [*stay, "source"]


def test_a_claim_since_the_sweep_began_keeps_what_it_makes() -> None:
    seen = put_in_state(make_job(), "pending", fence=1)
    held = claim()
    folder = with_outputs(held, 1, held.fence)
    sweeping._tidy(seen, time.time())
    assert sorted(each.name for each in folder.iterdir()) == [f"out.{held.fence}", "source"]


def test_what_was_fetched_half_goes_when_nobody_goes_on() -> None:
    job = put_in_state(make_job(), "processing", fence=1)
    old, young = (staging.folder(job.uid) / f".source.{name}" for name in ("a", "b"))
    for path in (old, young):
        path.write_bytes(b"half")
    age(old, 130)
    sweep_staging()
    assert (old.exists(), young.exists()) == (False, True)


# Hosted files

HALF = ".tmp-0011223344556677-0011223344556677"


def test_half_written_hosted_files_go_too() -> None:
    root = Path(settings.PIXERVE.serve_dir)
    root.mkdir()
    (root / HALF).write_bytes(b"half")
    (root / "whole.jpg").write_bytes(b"whole")
    prune_staging()
    # Just written: its publish may still be under way.
    assert {file.name for file in root.iterdir()} == {HALF, "whole.jpg"}


def half_publish(job: Job, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is left where a worker is killed between a copy and its rename."""
    [key] = intake.output_keys(job)
    path = Path(settings.PIXERVE.serve_dir) / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"older")
    HostedFile.objects.create(path=key, sha256="ab", bytes=5, mtime_ns=1, media_type="image/jpeg")
    source = staging.source_path(job.uid)
    with monkeypatch.context() as killed:
        for name in ("replace", "unlink"):
            killed.setattr(f"delivery.hosting.os.{name}", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            hosted.root().publish(source, key)
    [half] = path.parent.glob(".tmp-*")
    return half


@pytest.mark.parametrize("lost", [0, leases.MAX_LOST - 1])
def test_what_a_killed_worker_was_publishing_goes_with_its_lease(
    lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_job(job={"formats": {"jpg": {}}, "directHost": True, "subDir": "deep/down"})
    Job.objects.update(lost_leases=lost)
    job = claim(f"{leases.myself().partition('/')[0]}/999999999/1")
    half = half_publish(job, monkeypatch)
    assert clerk.reap(leases.Reaper()) == 1
    assert [each.name for each in half.parent.iterdir()] == [Path(intake.output_keys(job)[0]).name]
    assert Job.objects.get().state == ("failed" if lost else "pending")


def test_without_any_folder() -> None:
    assert prune_staging() == 0
