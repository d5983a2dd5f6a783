"""The lists: what they show, find and filter, and that they stay fast."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs.models import Failure, Reference, Success
from jobs.states import State
from tests.admin.conftest import HOSTILE, MakeJob, host
from tests.jobs.making import owe


def listed(client: Client, query: str = "", model: str = "job") -> list[Any]:
    answer = client.get(f"/admin/jobs/{model}/?{query}")
    assert answer.status_code == 200, answer.headers
    return list(answer.context["cl"].result_list)


def test_newest_first(staff: Client, make_job: MakeJob) -> None:
    jobs = [make_job() for _ in range(3)]
    assert listed(staff) == jobs[::-1]


def test_columns(staff: Client, make_job: MakeJob) -> None:
    now = timezone.now()
    make_job(
        State.COMPLETED,
        done=4,
        source_bytes=2 * 2**20,
        created_at=now - timedelta(seconds=3),
        finished_at=now,
    )
    make_job(State.FAILED, error_code="damaged_picture")
    make_job(State.PROCESSING, stage="converting", done=1)
    page = staff.get("/admin/jobs/job/").content.decode()
    for expected in (
        '<span class="px-state px-completed">Completed</span>',
        "4 of 4",
        "2.0\xa0MB",
        "3.0 s",
        '<code class="px-code">damaged_picture</code>',
        "1 of 4 · converting",
    ):
        assert expected in page


def test_search_finds_exact_matches(staff: Client, make_job: MakeJob) -> None:
    job = make_job(subject="tenant-7")
    make_job(subject="tenant-70")
    for term in (
        job.sha256,
        job.sha256[:10],
        str(job.uid),
        job.uid.hex,
        "tenant-7",
        "  tenant-7 ",
    ):
        assert listed(staff, f"q={term}") == [job], term


def test_search_finds_a_numbered_reference(staff: Client, make_job: MakeJob) -> None:
    first = make_job()
    second = Reference.objects.create(
        name=f"{first.sha256}_1", sha256=first.sha256, subject="other"
    )
    job = make_job(sha256=first.sha256, reference=second, subject="other2")
    assert listed(staff, f"q={first.sha256}_1") == [job]


@pytest.mark.parametrize("subject", ["deadbeef", "9f1c2f0e-55f3-4b2e-9a43-0d4ce0b3ad10", "a" * 64])
def test_a_subject_that_looks_like_something_else_is_found(
    subject: str, staff: Client, make_job: MakeJob
) -> None:
    job = make_job(subject=subject)
    assert listed(staff, f"q={subject}") == [job]


@pytest.mark.parametrize("term", ["nobody", "%00", "%27%20OR%201=1", "%25", "f" * 300])
def test_search_that_finds_nothing(term: str, staff: Client, make_job: MakeJob) -> None:
    make_job()
    expected = 1 if term == "%00" else 0  # Django drops a term with a zero byte
    assert len(listed(staff, f"q={term}")) == expected


def test_filters(staff: Client, make_job: MakeJob) -> None:
    failed = make_job(State.FAILED, error_code="too_many_pixels")
    Failure.objects.create(
        job=failed,
        reference=failed.reference,
        subject="s",
        job_data={},
        code="too_many_pixels",
        message="m",
    )
    make_job(State.FAILED, error_code="damaged_picture")
    queued = make_job(State.PENDING, priority=5)
    old = make_job(created_at=timezone.now() - timedelta(days=2))
    assert listed(staff, "state__exact=pending") == [queued]
    assert listed(staff, "error=too_many_pixels") == [failed]
    assert listed(staff, "priority=queued") == [queued]
    assert queued not in listed(staff, "priority=realtime")
    assert old in listed(staff, "created=week")
    assert old not in listed(staff, "created=day")
    assert "too_many_pixels" in staff.get("/admin/jobs/job/").content.decode()


def test_other_lists(staff: Client, make_job: MakeJob) -> None:
    job, other = make_job(subject="s-1"), make_job(subject="s-2")
    rows: dict[str, list[Any]] = {"success": [], "failure": [], "callback": [], "hostedfile": []}
    for each in (job, other):
        common = {
            "job": each,
            "reference": each.reference,
            "subject": each.subject,
            "job_data": {},
        }
        host(each)
        rows["success"].append(Success.objects.create(**common, file_count=2))
        rows["failure"].append(Failure.objects.create(**common, code="c", message="m"))
        rows["callback"].append(owe(each))
        rows["hostedfile"].append(each.hosted_files.get())
    for model, (first, second) in rows.items():
        assert listed(staff, model=model) == [second, first]
        term = f"files/{job.uid}" if model == "hostedfile" else "s-1"
        assert listed(staff, f"q={term}", model) == [first]


def test_hostile_names_are_text(staff: Client, make_job: MakeJob) -> None:
    job = make_job(
        State.FAILED,
        upload_name=f'{HOSTILE}".jpg',
        subject=HOSTILE,
        error_code="x",
        error_message=HOSTILE,
    )
    host(job, f"{HOSTILE.replace('/', '')}.jpg")
    common = {"job": job, "reference": job.reference, "subject": HOSTILE, "job_data": {}}
    Success.objects.create(**common, file_count=1)
    Failure.objects.create(**common, code=HOSTILE, message=HOSTILE)
    owe(job, type=HOSTILE[:32], url=f"https://a.example/{HOSTILE}")
    for model in ("job", "success", "failure", "callback", "hostedfile"):
        page = staff.get(f"/admin/jobs/{model}/").content.decode()
        assert "&lt;script" in page
        assert "<script>alert" not in page


@pytest.mark.parametrize("model", ["job", "success", "failure", "callback", "hostedfile"])
def test_queries_do_not_grow_with_rows(model: str, staff: Client, make_job: MakeJob) -> None:
    def fill(count: int) -> int:
        for _ in range(count):
            job = make_job(source=False)
            common = {"job": job, "reference": job.reference, "subject": "s", "job_data": {}}
            host(job)
            Success.objects.create(**common, file_count=2)
            Failure.objects.create(**common, code="c", message="m")
            owe(job)
        with CaptureQueriesContext(connection) as queries:
            staff.get(f"/admin/jobs/{model}/")
        return len(queries)

    few = fill(2)
    assert few <= 8
    assert fill(10) == few


def test_counting_stops_at_the_window(
    staff: Client, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.admin.base.MOST_ROWS", 3)
    for _ in range(5):
        make_job(source=False)
    answer = staff.get("/admin/jobs/job/")
    assert answer.context["cl"].result_count == 3
    assert b"or more; filter or search" in answer.content
