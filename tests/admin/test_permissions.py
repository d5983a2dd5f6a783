"""Who may see the admin, and that nobody may edit what the product writes."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client

from jobs.models import Callback, Failure, HostedFile, Job, Success
from jobs.states import State
from tests.admin.conftest import MakeJob, host
from tests.jobs.making import owe

LISTS = ["job", "success", "failure", "callback", "hostedfile"]
PAGES = ["/admin/", "/admin/figures", "/admin/jobs/job/trial-token/"] + [
    f"/admin/jobs/{name}/" for name in LISTS
]


@pytest.mark.parametrize("page", PAGES)
def test_strangers_are_sent_to_the_sign_in_page(page: str, client: Client, db: None) -> None:
    answer = client.get(page)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("page", PAGES)
def test_users_who_are_not_staff_see_nothing(page: str, client: Client, db: None) -> None:
    client.force_login(User.objects.create_user("someone", password="x"))
    assert client.get(page).status_code == 302


@pytest.mark.parametrize("page", PAGES)
def test_staff_see_everything(page: str, staff: Client) -> None:
    assert staff.get(page).status_code == 200


def test_the_admin_is_found_without_its_slash(client: Client) -> None:
    answer = client.get("/admin")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")


def _rows(make_job: MakeJob) -> list[Job | Success | Failure | Callback | HostedFile]:
    job = make_job()
    host(job)
    common = {"job": job, "reference": job.reference, "subject": job.subject, "job_data": {}}
    return [
        job,
        Success.objects.create(**common, file_count=1),
        Failure.objects.create(**common, code="broken", message="broken"),
        owe(job),
        job.hosted_files.get(),
    ]


def test_no_row_can_be_added_changed_or_deleted(
    admin_client: Client, make_job: MakeJob, staff: Client
) -> None:
    for row in _rows(make_job):
        base = f"/admin/jobs/{row._meta.model_name}"
        for client in (admin_client, staff):
            assert client.get(f"{base}/add/").status_code == 403
            assert client.get(f"{base}/{row.pk}/delete/").status_code == 403
            assert client.post(f"{base}/{row.pk}/change/", {"state": "failed"}).status_code == 403
            assert client.get(f"{base}/{row.pk}/change/").status_code == 200


def test_the_delete_action_of_django_is_not_offered(
    admin_client: Client, make_job: MakeJob
) -> None:
    job = make_job()
    admin_client.post(
        "/admin/jobs/job/", {"action": "delete_selected", "_selected_action": [job.pk]}
    )
    assert Job.objects.filter(pk=job.pk).exists()


def test_the_task_queue_has_no_pages_of_its_own(admin_client: Client) -> None:
    assert not [m for m in admin.site._registry if m._meta.app_label == "django_q"]
    assert b"Task queue" not in admin_client.get("/admin/").content


def test_a_job_that_is_gone_leads_back(staff: Client) -> None:
    for unknown in ("999", "not-a-number"):
        assert staff.get(f"/admin/jobs/job/{unknown}/change/").status_code == 302


def test_users_and_groups_can_be_managed_by_superusers_only(
    admin_client: Client, staff: Client
) -> None:
    for page in ("user/", "user/add/", "group/", "group/add/"):
        assert admin_client.get(f"/admin/auth/{page}").status_code == 200
        assert staff.get(f"/admin/auth/{page}").status_code == 403


def test_a_forged_request_without_its_csrf_token_does_nothing(make_job: MakeJob) -> None:
    job = make_job(State.PENDING)
    forged = Client(enforce_csrf_checks=True)
    forged.force_login(User.objects.create_superuser("boss"))
    assert forged.post(f"/admin/jobs/job/{job.pk}/act/cancel/").status_code == 403
    job.refresh_from_db()
    assert job.state == State.PENDING


def test_a_link_alone_does_nothing(admin_client: Client, make_job: MakeJob) -> None:
    job = make_job(State.PENDING)
    assert admin_client.get(f"/admin/jobs/job/{job.pk}/act/cancel/").status_code == 405
    job.refresh_from_db()
    assert job.state == State.PENDING
