"""The first page's figures: what waits, what failed, how much was done, is it healthy."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from jobs import cluster, dashboard, leases
from jobs.models import CallbackState, Failure, Job, Success
from jobs.states import State
from pixerve_site.dashboard import checks
from tests.admin.conftest import HOSTILE, MakeJob
from tests.jobs.making import owe

pytestmark = pytest.mark.sql


def succeed(job: Job, at: datetime, files: int = 4, size: int = 1000) -> None:
    Success.objects.create(
        job=job,
        reference=job.reference,
        subject=job.subject,
        job_data={},
        timestamp=at,
        file_count=files,
        output_bytes=size,
    )


def fail(job: Job, at: datetime, **fields: Any) -> None:
    Failure.objects.create(
        job=job,
        reference=job.reference,
        subject=job.subject,
        job_data={},
        timestamp=at,
        **{"code": "damaged_picture", "message": "It is cut."} | fields,
    )


def test_an_empty_server(db: None) -> None:
    found = dashboard.figures()
    assert found["in_flight"] == {"created": 0, "pending": 0, "processing": 0}
    assert found["oldest_wait_s"] is None
    assert found["typical_s"] is None
    assert (found["day"]["completed"], found["day"]["failed"]) == (0, 0)
    assert len(found["day"]["hours"]) == 24
    assert (found["latest_jobs"], found["latest_failures"]) == ([], [])


def test_what_waits(make_job: MakeJob) -> None:
    make_job(State.PENDING, created_at=timezone.now() - timedelta(seconds=90))
    make_job(State.PENDING)
    make_job(State.PROCESSING)
    make_job(State.COMPLETED)
    found = dashboard.figures()
    assert found["in_flight"] == {"created": 0, "pending": 2, "processing": 1}
    assert 90 <= found["oldest_wait_s"] < 120


def test_each_end_counts_in_its_own_hour(make_job: MakeJob) -> None:
    job = make_job()
    now = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
    succeed(job, datetime(2026, 3, 1, 2, 0, 0, tzinfo=UTC), files=3, size=10)
    succeed(job, datetime(2026, 3, 1, 1, 59, 59, 999999, tzinfo=UTC), files=2, size=5)
    succeed(job, datetime(2026, 2, 28, 3, 0, tzinfo=UTC))
    succeed(job, datetime(2026, 2, 28, 2, 59, 59, tzinfo=UTC))  # a day ago: not in it
    fail(job, datetime(2026, 3, 1, 2, 29, tzinfo=UTC))
    day = dashboard.last_day(now)
    hours = {bar["start"]: (bar["completed"], bar["failed"]) for bar in day["hours"]}
    assert next(iter(hours)) == "2026-02-28T03:00:00+00:00"
    assert list(hours)[-1] == "2026-03-01T02:00:00+00:00"
    assert {start: counts for start, counts in hours.items() if any(counts)} == {
        "2026-02-28T03:00:00+00:00": (1, 0),
        "2026-03-01T01:00:00+00:00": (1, 0),
        "2026-03-01T02:00:00+00:00": (1, 1),
    }
    assert (day["completed"], day["failed"], day["files"], day["bytes"]) == (3, 1, 9, 1015)


def test_what_failed_with_its_reason_and_its_page(make_job: MakeJob, staff: Client) -> None:
    job = make_job(State.FAILED, upload_name="broken.jpg")
    fail(job, timezone.now())
    [failure] = dashboard.figures()["latest_failures"]
    assert (failure["name"], failure["code"], failure["message"]) == (
        "broken.jpg",
        "damaged_picture",
        "It is cut.",
    )
    assert staff.get(failure["url"]).status_code == 200


def test_how_long_a_job_takes(make_job: MakeJob) -> None:
    now = timezone.now()
    for took in (1, 2, 60):
        make_job(created_at=now - timedelta(seconds=took), finished_at=now)
    assert dashboard.typical_s() == 2


def test_callbacks_to_send_and_given_up(make_job: MakeJob) -> None:
    job = make_job()
    now = timezone.now()
    states = [
        (CallbackState.WAITING, now),
        (CallbackState.SENDING, now),
        (CallbackState.SENT, now),
        (CallbackState.GIVEN_UP, now - timedelta(hours=1)),
        (CallbackState.GIVEN_UP, now - timedelta(days=3)),
    ]
    for state, at in states:
        owe(job, state=state, next_at=at)
    assert dashboard.callbacks(now) == {"waiting": 2, "given_up": 1}


def named_checks() -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in checks()}


def test_checks_in_words(make_job: MakeJob) -> None:
    found = named_checks()
    assert list(found) == ["database", "queue", "staging", "workers"]
    assert found["queue"] == {"name": "queue", "ok": True, "detail": "nothing waits"}
    assert found["workers"]["detail"] == "none on this host"
    make_job(State.PENDING, created_at=timezone.now() - timedelta(hours=2))
    assert not named_checks()["queue"]["ok"]
    assert named_checks()["queue"]["detail"].startswith("oldest waits 72")


@pytest.mark.parametrize(
    ("owner", "alive"),
    [
        (leases.myself(), True),
        (leases.owner_of(2**22 + 1), False),
        ("of-another-container@00000000.1/1/1", True),
        (f"{leases.myself().partition('@')[0]}@00000000.1/1/1", False),
    ],
    ids=["this process", "a dead one", "of another container", "of another boot"],
)
def test_workers_that_died_are_no_health(owner: str, alive: bool, db: None) -> None:
    path = cluster.pid_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(owner)
    try:
        assert named_checks()["workers"]["ok"] is alive
    finally:
        path.unlink()


def test_the_page_and_its_figures_are_the_same(staff: Client, make_job: MakeJob) -> None:
    make_job(upload_name="one.jpg")
    page = staff.get("/admin/")
    polled = staff.get("/admin/figures")
    assert polled["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    assert set(polled.json()) == set(page.context["figures"])
    assert polled.json()["latest_jobs"][0]["name"] == "one.jpg"
    assert polled.json()["version"] == settings.VERSION


def test_hostile_names_cannot_leave_the_page_s_data(staff: Client, make_job: MakeJob) -> None:
    make_job(upload_name=f"</script>{HOSTILE}", subject=HOSTILE)
    text = staff.get("/admin/").content.decode()
    assert HOSTILE not in text
    assert "\\u003Cscript\\u003E" in text
