"""Back-pressure: an upload that cannot be taken is refused before its body is read."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from jobs import pipeline, pressure, staging
from jobs.errors import Unavailable
from jobs.models import Job, Rendition
from jobs.pressure import Pressure, needed_bytes, outputs_bytes
from tests.acceptance.evidence import PHOTO
from tests.api.caller import Api, assert_problem, nothing_stored, upload_token
from tests.jobs.making import claim, make_job, picture
from tests.jobs.test_staging import Unread

pytestmark = pytest.mark.django_db(transaction=True)
Configure = Callable[..., None]
MIB = 2**20
FREE = 1000 * MIB
HOST = {"directHost": True}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks up each time what a server looks up once a second."""
    monkeypatch.setattr(pressure, "LOOK_EVERY_S", 0.0)


@pytest.fixture(autouse=True)
def steady_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else writes to this machine's disk meanwhile."""
    usage = shutil.disk_usage("/")._replace(free=FREE)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)


def unread(api: Api, length: int = 1000, **token: Any) -> Any:
    """The answer to an upload whose body must not be asked for."""
    body = {
        "wsgi.input": Unread(),
        "CONTENT_LENGTH": str(length),
        "CONTENT_TYPE": "multipart/form-data; boundary=edge",
    }
    return api.call("POST", "/upload", token=upload_token(**token), **body)


def aged(job: Job, minutes: float) -> None:
    created = timezone.now() - timedelta(minutes=minutes)
    Job.objects.filter(pk=job.pk).update(created_at=created)


# The age of the queue


def test_a_queue_that_is_too_old_takes_no_more_of_those_who_wait(
    api: Api, configure: Configure
) -> None:
    configure(max_queue_age=600)
    job = make_job()
    aged(job, 9)
    assert api.upload(picture(1)).status_code == 202
    aged(job, 11)
    answer = unread(api)
    assert_problem(answer, 503, "queue_too_old")
    assert answer["Retry-After"] == "30"
    assert Job.objects.count() == 2
    # Whoever has nothing waiting is served next all the same.
    assert api.upload(picture(2), token=upload_token(subject="bob")).status_code == 202
    assert_problem(unread(api, subject="bob"), 503, "queue_too_old")


def test_without_a_limit_uploads_go_on_however_long_nobody_works(api: Api) -> None:
    aged(make_job(), 10**6)
    assert api.upload(picture(1)).status_code == 202


def test_what_is_backed_off_makes_no_queue_old(api: Api, configure: Configure) -> None:
    configure(max_queue_age=600)
    aged(make_job(), 11)
    Job.objects.update(run_after=timezone.now() + timedelta(seconds=1))
    assert api.upload(picture(1)).status_code == 202


# The database


def test_a_database_that_is_away_is_noticed_before_the_body(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(execute: object, *args: object) -> None:
        raise OperationalError("away")

    for every_s in (0.0, 3600.0):
        monkeypatch.setattr(pressure, "LOOK_EVERY_S", every_s)
        with connection.execute_wrapper(away):
            answer = unread(api)
        assert_problem(answer, 503, "database_unavailable")
        assert answer["Retry-After"] == "5"
    assert nothing_stored()


# Room


def test_room_for_a_body_is_set_aside_until_it_is_in(configure: Configure) -> None:
    configure(ready_free_bytes=FREE - 100 * MIB)
    known = Pressure()
    with known.admitted(60 * MIB, "ann"):
        with pytest.raises(Unavailable) as caught, known.admitted(60 * MIB, "bob"):
            raise AssertionError("it was admitted")
        assert caught.value.code == "staging_full"
        with known.admitted(10 * MIB, "bob"):
            pass
    with known.admitted(60 * MIB, "bob"):
        pass


def test_a_body_that_will_not_fit_is_refused_unread(api: Api, configure: Configure) -> None:
    configure(ready_free_bytes=FREE - 40 * MIB)
    assert_problem(unread(api, 60 * MIB), 503, "staging_full")
    assert api.upload().status_code == 202


def test_room_is_kept_for_what_is_being_converted(api: Api, configure: Configure) -> None:
    job = make_job("ann", job={"formats": {"png": {"sizes": [[4000]], "enlarge": True}}, **HOST})
    assert needed_bytes() == 0
    held = claim()
    assert needed_bytes() == pytest.approx(64_000_000, rel=0.01)
    configure(ready_free_bytes=FREE - 40 * MIB)
    assert_problem(unread(api, subject="bob"), 503, "staging_full")
    Job.objects.filter(pk=held.pk).update(stage="delivering")
    assert api.upload(token=upload_token(subject="bob")).status_code == 202
    assert staging.source_path(job.uid).exists()


def test_a_job_that_nobody_can_read_refuses_nobody(api: Api) -> None:
    make_job()
    claim()
    Job.objects.update(spec={"formats": "nonsense"})
    assert needed_bytes() == 0
    assert api.upload(picture(1)).status_code == 202


@pytest.mark.parametrize(
    ("formats", "source_bytes", "most"),
    [
        ({"jpg": {"sizes": [[100, 100]]}}, MIB, 10_000),
        ({"jpg": {"sizes": [[100, 100], [200]]}, "webp": {"sizes": [[100]]}}, MIB, 60_000),
        ({"tiff": {"sizes": [[100]]}}, MIB, 40_000),
        ({"jpg": {}}, MIB, 20 * MIB),
        ({"jpg": {"sizes": [[16000]]}}, MIB, 20 * MIB),
        ({"png": {}}, 100 * MIB, 512 * MIB),
    ],
)
def test_the_bytes_of_outputs_are_predicted_coarsely(
    formats: dict[str, Any], source_bytes: int, most: int
) -> None:
    found = outputs_bytes({"formats": formats, **HOST}, source_bytes)
    assert most <= found <= most + 5 * 4096
    kept = outputs_bytes({"formats": formats, "keepOriginal": True, **HOST}, source_bytes)
    assert kept == found + source_bytes


def test_real_outputs_are_smaller_than_predicted() -> None:
    asked = {
        name: {"settings": {"quality": 95}, "sizes": [[300], [200]]}
        for name in ("jpg", "webp", "png", "gif", "tiff")
    }
    job = make_job("ann", PHOTO, {"formats": asked, **HOST}, "photo.jpg")
    predicted = outputs_bytes(job.spec, job.source_bytes)
    pipeline.wake()
    made = sum(Rendition.objects.values_list("bytes", flat=True))
    assert 0 < made <= predicted
