"""Every page of the admin with a hundred thousand jobs."""

import time

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from jobs.models import Job
from jobs.states import State
from tests.admin.conftest import MakeJob

MANY = 100_000


def fill_with_jobs(first: Job, count: int) -> None:
    """Copy `first` many times, by SQL: each id, uid and time its own, every 20th one failed."""
    names = [field.column for field in Job._meta.concrete_fields if not field.primary_key]
    own = {
        "uid": "printf('%%032x', n)",
        "state": "CASE WHEN n %% 20 = 0 THEN 'failed' ELSE 'completed' END",
        "error_code": "CASE WHEN n %% 20 = 0 THEN 'damaged_picture' ELSE '' END",
        "subject": "CASE WHEN n %% 50 THEN 'large' ELSE 'user-' || (n %% 500) END",
        "created_at": "datetime('now', (-n) || ' seconds')",
    }
    numbers = (
        "WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < %s)"
    )
    columns = ", ".join(names)
    values = ", ".join(own.get(name, name) for name in names)
    copy = f"INSERT INTO jobs_job ({columns}) SELECT {values}"
    with connection.cursor() as cursor:
        cursor.execute(
            f"{numbers} {copy} FROM counted, jobs_job WHERE jobs_job.id = %s", [count, first.pk]
        )
        cursor.execute(
            "INSERT INTO jobs_success (job_id, reference_id, subject, timestamp, job_data,"
            " file_count, output_bytes) SELECT id, reference_id, subject, created_at, spec, 4, 100"
            " FROM jobs_job WHERE state = 'completed'"
        )
        cursor.execute(
            "INSERT INTO jobs_failure (job_id, reference_id, subject, timestamp, job_data, code,"
            " message) SELECT id, reference_id, subject, created_at, spec, error_code, 'm'"
            " FROM jobs_job WHERE state = 'failed'"
        )


@pytest.mark.skipif(connection.vendor != "sqlite", reason="fills the table with SQLite's functions")
def test_every_page_is_fast_with_a_hundred_thousand_jobs(staff: Client, make_job: MakeJob) -> None:
    job = make_job(State.COMPLETED, subject="user-0")
    fill_with_jobs(job, MANY)
    assert Job.objects.count() > MANY
    pages = [
        "/admin/",
        "/admin/figures",
        f"/admin/jobs/job/{job.pk}/change/",
        "/admin/jobs/job/",
        "/admin/jobs/job/?p=200",
        "/admin/jobs/job/?state__exact=failed",
        "/admin/jobs/job/?state__exact=cancelled",
        "/admin/jobs/job/?priority=queued",
        "/admin/jobs/job/?created=hour",
        "/admin/jobs/job/?error=damaged_picture",
        f"/admin/jobs/job/?q={job.uid}",
        f"/admin/jobs/job/?q={job.sha256}",
        "/admin/jobs/job/?q=user-50",
        "/admin/jobs/job/?q=large",
        "/admin/jobs/job/?q=nobody",
        "/admin/jobs/success/",
        "/admin/jobs/success/?q=user-50",
        "/admin/jobs/success/?q=large",
        "/admin/jobs/failure/?q=large",
        "/admin/jobs/callback/?q=large",
        "/admin/jobs/failure/?code=damaged_picture",
    ]
    for page in pages:
        started = time.thread_time()
        with CaptureQueriesContext(connection) as queries:
            assert staff.get(page).status_code == 200, page
        assert time.thread_time() - started < 2, page  # mostly 0.02 to 0.15 s
        assert len(queries) <= 20, page
    assert staff.get("/admin/jobs/job/?p=201").status_code == 302  # beyond the window
