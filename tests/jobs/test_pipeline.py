"""What a wake-up does: one job seen through, whatever happens on the way."""

import errno
import multiprocessing
import re
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.utils import timezone
from django_q.conf import Conf
from django_q.timeout import TimeoutHandler

from delivery.errors import HostingFailed, PathRefused
from encoders import errors
from encoders.errors import PictureError
from encoders.plan import Rendition as Made
from jobs import cluster, leases, outages, pipeline, staging, transitions
from jobs.advice import ADVICE
from jobs.leases import LeaseLost
from jobs.models import Failure, HostedFile, Job, Rendition, Success
from jobs.pipeline import BACKOFF_S, HandedBack, Pulse
from jobs.states import Stage
from tests.api.caller import staged_folders
from tests.jobs.making import HOPPER, SMALL_JOB, TRUNCATED, claim, make_job, picture
from tests.server import IMAGES, ROOT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sql]
Configure = Callable[..., None]
MADE = Made("x", "jpg", 1, 1, 1, "0" * 64, 1.0)


def serve_dir() -> Path:
    return Path(settings.PIXERVE.serve_dir)


def test_a_job_from_end_to_end() -> None:
    job = make_job("ann", HOPPER, {**SMALL_JOB, "subDir": "a/b"}, name="p.jpg")
    pipeline.wake()
    job.refresh_from_db()
    assert (job.state, job.stage, job.owner, job.has_source) == ("completed", "", "", False)
    assert (job.done, job.total, job.attempts) == (1, 1, 1)
    assert set(job.timings) >= {"queued", "decode", "resize", "encode", "total", "deliver"}
    assert all(value >= 0 for value in job.timings.values())
    made = Rendition.objects.get()
    hosted = HostedFile.objects.get()
    file = serve_dir() / made.key
    assert made.key == hosted.path == f"a/b/{made.name}"
    assert (hosted.bytes, hosted.mtime_ns) == (file.stat().st_size, file.stat().st_mtime_ns)
    assert (made.sha256, hosted.media_type) == (hosted.sha256, "image/jpeg")
    assert staged_folders() == []


def completed() -> int:
    return Job.objects.filter(state="completed").count()


def test_a_wake_up_goes_on_while_there_is_work() -> None:
    for number in range(3):
        make_job("ann", picture(number))
    pipeline.wake()
    assert completed() == 3


def test_a_wake_up_ends_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "WAKE_S", 0.0)
    for number in range(2):
        make_job("ann", picture(number))
    pipeline.wake()
    assert completed() == 1


class StopsAfterOne:
    """The stop event of a cluster that is asked to stop while its worker makes the first job."""

    def is_set(self) -> bool:
        return completed() > 0


def test_a_wake_up_ends_when_the_cluster_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_stop_event", StopsAfterOne())
    for number in range(2):
        make_job("ann", picture(number))
    pipeline.wake()
    assert completed() == 1


def test_a_wake_up_for_nothing() -> None:
    pipeline.wake()
    assert not Job.objects.exists()


def test_a_cluster_that_stops_claims_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = multiprocessing.Event()
    stop.set()
    monkeypatch.setattr(cluster, "_stop_event", stop)
    make_job()
    pipeline.wake()
    assert Job.objects.get().state == "pending"


def test_warnings_are_kept() -> None:
    make_job("ann", (IMAGES / "thu_animated.gif").read_bytes())
    pipeline.wake()
    warnings = Job.objects.get().warnings
    assert {warning["code"] for warning in warnings} >= {"animation_first_frame"}
    assert all(warning["message"] for warning in warnings)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("pil_truncated_jpeg.jpg", "damaged_picture"),
        ("pil_broken_data_stream.png", "damaged_picture"),
        ("pil_decompression_bomb.gif", "damaged_picture"),
        ("thu_16384x16384.png", "too_many_pixels"),
    ],
)
def test_what_only_a_decoder_can_see(name: str, code: str) -> None:
    job = make_job("ann", (IMAGES / name).read_bytes())
    pipeline.wake()
    job.refresh_from_db()
    assert job.state == "failed"
    assert job.error_code == code
    assert job.error_message
    assert Failure.objects.get().code == job.error_code
    assert not Rendition.objects.exists()
    assert not serve_dir().exists() or not any(serve_dir().iterdir())


def test_a_failed_job_keeps_its_source_and_nothing_else() -> None:
    job = make_job("ann", TRUNCATED)
    pipeline.wake()
    assert [file.name for file in staging.folder(job.uid).iterdir()] == ["source"]
    assert staging.source_path(job.uid).read_bytes() == TRUNCATED


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [("max_pixels", 100, "too_many_pixels"), ("max_side", 100, "side_too_long")],
)
def test_the_owners_limits(configure: Configure, setting: str, value: int, code: str) -> None:
    make_job("ann", HOPPER)
    configure(**{setting: value})
    pipeline.wake()
    assert Job.objects.get().error_code == code


def test_frames_over_the_limit(configure: Configure) -> None:
    configure(max_frames=1)
    make_job("ann", (IMAGES / "thu_animated.gif").read_bytes())
    pipeline.wake()
    assert Job.objects.get().error_code == "too_many_frames"


def test_after_a_failure_the_next_one_is_fine() -> None:
    make_job("ann", TRUNCATED)
    make_job("ann", HOPPER)
    pipeline.wake()
    pipeline.wake()
    states = sorted(Job.objects.values_list("state", flat=True))
    assert states == ["completed", "failed"]


def test_a_source_that_is_gone_fails_with_a_reason() -> None:
    job = make_job()
    shutil.rmtree(staging.folder(job.uid))
    pipeline.wake()
    job.refresh_from_db()
    assert (job.state, job.error_code) == ("failed", "source_missing")


def test_a_folder_that_takes_no_file_is_tried_again() -> None:
    serve_dir().parent.mkdir(exist_ok=True)
    serve_dir().write_text("in the way")
    job = make_job()
    pipeline.wake()
    job.refresh_from_db()
    assert (job.state, job.error_code) == ("pending", "")
    assert job.run_after > timezone.now()
    serve_dir().unlink()
    Job.objects.update(run_after=timezone.now())
    pipeline.wake()
    job.refresh_from_db()
    assert (job.state, job.attempts) == ("completed", 2)


def fails(job: Job, error: PictureError | HostingFailed | PathRefused) -> Job:
    pipeline._fail_or_try_again(job, error)
    return Job.objects.get(pk=job.pk)


def test_trouble_that_can_pass_is_tried_as_often_as_there_are_pauses() -> None:
    make_job()
    for pause in BACKOFF_S:
        job = fails(claim(), HostingFailed("no space"))
        wait = (job.run_after - timezone.now()).total_seconds()
        assert (job.state, pause - 5 < wait <= pause) == ("pending", True)
        Job.objects.update(run_after=timezone.now())
    job = fails(claim(), HostingFailed("no space"))
    assert (job.state, job.error_code) == ("failed", "hosting_failed")


@contextmanager
def few_files() -> Iterator[None]:
    """No more open files than there are."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    pipeline.converter.close()
    open_now = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 2, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_machine_that_is_short_of_something_is_tried_again() -> None:
    make_job()
    job = claim()
    with few_files():
        pipeline.run(job)
    job.refresh_from_db()
    assert (job.state, job.error_code, job.attempts) == ("pending", "", 1)
    assert job.run_after > timezone.now()


def test_memory_that_is_missing_may_be_there_later() -> None:
    assert pipeline._shortage(OSError(errno.EPERM, "no")) is None
    for error in (MemoryError(), OSError(errno.ENOMEM, "Cannot allocate memory")):
        short = pipeline._shortage(error)
        assert short is not None
        assert (short.code, short.retryable) == ("machine_short", True)


# Of the machine, or of the moment; all others are of the picture or its instructions.
PASSES = {"disk_full", "machine_short", "decoder_killed", "decoder_crashed"}


def codes(text: str, line: str) -> dict[str, bool]:
    """Error code -> whether a star says that it can pass."""
    return {name: bool(star) for name, star in re.findall(line, text, re.MULTILINE)}


TOLD = codes(errors.__doc__ or "", r"[├└]── ([a-z]+_[a-z_]+) ?(\*?) ")


def test_what_can_pass_is_told_alike_everywhere() -> None:
    assert {code for code, passes in TOLD.items() if passes} == PASSES == errors.RETRYABLE
    assert set(TOLD) <= set(ADVICE)
    section = (ROOT / "docs/api.md").read_text().split("### Of jobs")[1].split("### Of ")[0]
    documented = codes(section, r"^\| `(\w+)` ?(\*?) \|")
    assert {code: documented[code] for code in TOLD} == TOLD


@pytest.mark.parametrize(
    "error",
    [PathRefused("no"), *(PictureError(code, "x") for code in sorted({*TOLD, "other"} - PASSES))],
    ids=lambda error: error.code,
)
def test_trouble_that_cannot_pass_ends_at_once(error: PathRefused | PictureError) -> None:
    make_job()
    assert fails(claim(), error).state == "failed"


@pytest.mark.parametrize(
    ("code", "tries"),
    [("decoder_killed", 4), ("machine_short", 4), ("disk_full", 4), ("decoder_crashed", 2)],
)
def test_trouble_of_the_moment_backs_off_and_has_an_end(code: str, tries: int) -> None:
    make_job()
    for pause in BACKOFF_S[: tries - 1]:
        job = fails(claim(), PictureError(code, "x"))
        wait = (job.run_after - timezone.now()).total_seconds()
        assert (job.state, pause - 5 < wait <= pause) == ("pending", True)
        Job.objects.update(run_after=timezone.now())
    job = fails(claim(), PictureError(code, "x"))
    assert (job.state, job.error_code, job.attempts) == ("failed", code, tries)


def test_a_fault_of_ours_is_one_jobs_failure(caplog: pytest.LogCaptureFixture) -> None:
    job = make_job()
    Job.objects.update(spec={"formats": "nonsense"})
    pipeline.wake()
    job.refresh_from_db()
    assert (job.state, job.error_code) == ("failed", "internal_error")
    assert "Traceback" in caplog.text
    assert "nonsense" not in job.error_message


def test_who_lost_the_lease_writes_nothing() -> None:
    make_job("ann", HOPPER)
    old = claim("old")
    transitions.put_back(old)
    new = claim("new")
    pipeline.run(old)
    stored = Job.objects.get()
    assert (stored.state, stored.owner, stored.fence) == ("processing", "new", new.fence)
    assert not Success.objects.exists()
    assert not HostedFile.objects.exists()
    pipeline.run(new)
    assert Job.objects.get().state == "completed"


# The pulse


def test_a_short_job_writes_no_progress_of_its_own() -> None:
    make_job()
    job = claim()
    pulse = Pulse(job)
    pulse.made(MADE)
    pulse.beat()
    assert Job.objects.get().beat == 0


def test_a_due_beat_renews_and_tells_the_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT_S", 0.0)
    make_job()
    pulse = Pulse(claim())
    pulse.made(MADE)
    pulse.beat()
    stored = Job.objects.get()
    assert (stored.beat, stored.done) == (1, 1)
    pulse.enter(Stage.DELIVERING)
    assert Job.objects.get().stage == "delivering"


def test_a_beat_of_a_lost_lease_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT_S", 0.0)
    make_job()
    job = claim()
    pulse = Pulse(job)
    transitions.put_back(job)
    with pytest.raises(LeaseLost):
        pulse.beat()


def test_a_locked_database_is_no_reason_to_stop_but_before_files_are_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leases, "BEAT_S", 0.0)
    make_job()
    pulse = Pulse(claim())

    def locked(execute: object, *args: object) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(outages, "PATIENCE_S", 0.0)
    with connection.execute_wrapper(locked):
        pulse.beat()
        with pytest.raises(OperationalError):
            pulse.enter(Stage.DELIVERING)
    pulse.enter(Stage.DELIVERING)
    job = Job.objects.get()
    assert (job.beat, job.stage) == (1, Stage.DELIVERING)


def test_a_job_that_shows_life_is_never_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time in django-q2, which the worker's alarm and the sentinel keep, begins anew."""
    monkeypatch.setattr(leases, "BEAT_S", 0.0)
    timer = multiprocessing.Value("f", 0.5)
    monkeypatch.setattr(cluster, "_timer", timer)
    make_job()
    pulse = Pulse(claim())
    with TimeoutHandler(1):
        pulse.beat()
        left_s = signal.getitimer(signal.ITIMER_REAL)[0]
    assert left_s > Conf.TIMEOUT - 60
    assert timer.value == Conf.TIMEOUT + 3
    timer.value = -1  # between two tasks
    pulse.beat()
    assert (timer.value, signal.getitimer(signal.ITIMER_REAL)[0]) == (-1, 0)


def test_a_stop_that_cannot_wait_hands_the_job_back(
    monkeypatch: pytest.MonkeyPatch, configure: Configure
) -> None:
    stop = multiprocessing.Event()
    monkeypatch.setattr(cluster, "_stop_event", stop)
    configure(stop_grace=5)
    make_job()
    pulse = Pulse(claim())
    monkeypatch.setattr(pulse, "_patience", 0.0)
    pulse.beat()
    stop.set()
    with pytest.raises(HandedBack):
        pulse.beat()


def test_a_job_handed_back_counts_no_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = multiprocessing.Event()
    stop.set()
    make_job("ann", HOPPER)
    job = claim()
    monkeypatch.setattr(cluster, "_stop_event", stop)
    monkeypatch.setattr(pipeline, "TICK_S", 0.001)
    monkeypatch.setattr(cluster.Stopwatch, "seconds", lambda self: 1000.0)
    pipeline.run(job)
    stored = Job.objects.get()
    assert (stored.state, stored.attempts, stored.lost_leases, stored.owner) == (
        "pending",
        0,
        0,
        "",
    )
    assert staging.source_path(job.uid).exists()
