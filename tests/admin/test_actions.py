"""Cancel, replay, delete outputs: from the list and from a job's page."""

from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from jobs import callbacks, queue, staging
from jobs.admin import actions
from jobs.models import CallbackState, HostedFile, Job
from jobs.states import State
from tests.admin.conftest import MakeJob, host, hosted_path
from tests.jobs.making import owe


def on_list(client: Client, action: str, jobs: list[Job], **more: str) -> Any:
    chosen = {"action": action, "_selected_action": [job.pk for job in jobs]}
    return client.post("/admin/jobs/job/", chosen | more, follow=True)


def on_page(client: Client, action: str, job: Job, **more: str) -> Any:
    return client.post(f"/admin/jobs/job/{job.pk}/act/{action}/", more, follow=True)


def said(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def test_cancel_says_what_happened_to_each_job(staff: Client, make_job: MakeJob) -> None:
    waiting = [make_job(State.PENDING), make_job(State.PENDING)]
    busy = make_job(State.PROCESSING, upload_name="busy.jpg")
    answer = on_list(staff, "cancel_jobs", [*waiting, busy])
    assert said(answer) == [
        "Cancelled 2 jobs.",
        f"busy.jpg ({busy.reference_id[:12]}…): only a pending job can be cancelled; this one is"
        " processing",
    ]
    assert {job.state for job in Job.objects.filter(pk__in=[j.pk for j in waiting])} == {
        State.CANCELLED
    }
    assert not any(staging.folder(job.uid).exists() for job in waiting)


def test_cancel_on_the_page(staff: Client, make_job: MakeJob) -> None:
    job = make_job(State.PENDING)
    assert said(on_page(staff, "cancel", job)) == ["Cancelled 1 job."]
    job.refresh_from_db()
    assert job.state == State.CANCELLED


def test_replay_puts_a_failed_job_back(staff: Client, make_job: MakeJob) -> None:
    job = make_job(State.FAILED, error_code="broken", error_message="it is")
    assert said(on_page(staff, "replay", job)) == ["Put back into the queue 1 job."]
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.PENDING, "")


def test_a_replayed_backlog_takes_turns(staff: Client, make_job: MakeJob) -> None:
    """Each of these had the queue to itself when it came, and so the same turn."""
    failed = [make_job(State.FAILED, subject="ann", turn=0) for _ in range(3)]
    on_list(staff, "replay_jobs", failed)
    make_job(State.PENDING, subject="bob", turn=queue.next_turn("bob", 0))
    waiting = [job.subject for job in queue.runnable()]
    assert waiting == ["ann", "bob", "ann", "ann"]


def test_a_job_that_is_backed_off_lets_nobody_overtake(make_job: MakeJob) -> None:
    make_job(State.PENDING, subject="ann", turn=5, run_after=timezone.now() + timedelta(minutes=1))
    assert queue.next_turn("bob", 0) == 0
    make_job(State.PENDING, subject="cyd", turn=90)
    assert queue.next_turn("bob", 0) == 90
    assert queue.next_turn("ann", 0) == 90
    assert queue.next_turn("cyd", 0) == 91


def test_replay_without_a_source_says_so(staff: Client, make_job: MakeJob) -> None:
    job = make_job(State.FAILED, source=False)
    [refusal] = said(on_list(staff, "replay_jobs", [job]))
    assert "the source of this job is no longer kept" in refusal


def test_delete_outputs_asks_first(staff: Client, make_job: MakeJob) -> None:
    job = make_job(upload_name="holiday.jpg")
    rendition = host(job)
    for answer in (
        on_page(staff, "delete-outputs", job),
        on_list(staff, "delete_job_outputs", [job]),
    ):
        page = unescape(answer.content.decode())
        assert "Delete outputs of this job?" in page
        assert "holiday.jpg" in page
    assert hosted_path(rendition.key).exists()


@pytest.mark.parametrize("where", ["page", "list"])
def test_delete_outputs_removes_files_and_keeps_the_record(
    where: str, staff: Client, make_job: MakeJob
) -> None:
    job = make_job()
    rendition = host(job)
    if where == "page":
        answer = on_page(staff, "delete-outputs", job, confirmed="yes")
    else:
        answer = on_list(staff, "delete_job_outputs", [job], confirmed="yes")
    assert said(answer) == ["Deleted the outputs of 1 job."]
    assert not hosted_path(rendition.key).exists()
    assert not HostedFile.objects.filter(path=rendition.key).exists()
    rendition.refresh_from_db()
    assert rendition.removed_at is not None


def test_delete_outputs_says_where_a_file_cannot_go_and_does_the_others(
    staff: Client, make_job: MakeJob, tmp_path: Path
) -> None:
    stuck, fine = make_job(upload_name="stuck.jpg"), make_job()
    folder = hosted_path(host(stuck).key).parent
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    gone = host(fine)
    done, refusal = said(on_list(staff, "delete_job_outputs", [stuck, fine], confirmed="yes"))
    assert done == "Deleted the outputs of 1 job."
    assert refusal.startswith("stuck.jpg")
    assert not hosted_path(gone.key).exists()
    assert stuck.hosted_files.count() == 1


def test_delete_outputs_of_a_job_in_flight_is_refused(staff: Client, make_job: MakeJob) -> None:
    job = make_job(State.PROCESSING)
    [refusal] = said(on_list(staff, "delete_job_outputs", [job], confirmed="yes"))
    assert "in flight" in refusal


def test_delete_outputs_waits_for_a_newer_job_that_may_publish_them_anew(
    staff: Client, make_job: MakeJob
) -> None:
    old = make_job()
    rendition = host(old)
    make_job(State.PROCESSING, reference=old.reference)
    [refusal] = said(on_list(staff, "delete_job_outputs", [old], confirmed="yes"))
    assert "a newer job with this picture is in flight" in refusal
    assert hosted_path(rendition.key).exists()


def test_the_confirmation_carries_every_job_along(staff: Client, make_job: MakeJob) -> None:
    jobs = [make_job() for _ in range(3)]
    keys = [host(job).key for job in jobs]
    asked = on_list(staff, "delete_job_outputs", jobs)
    fields: dict[str, Any] = {"confirmed": "yes"}
    for name, value in asked.context["fields"]:
        fields.setdefault(name, []).append(value)
    answer = staff.post("/admin/jobs/job/", fields, follow=True)
    assert said(answer) == ["Deleted the outputs of 3 jobs."]
    assert not any(hosted_path(key).exists() for key in keys)


def test_a_file_whose_record_is_gone_is_deleted_in_the_list(
    staff: Client, make_job: MakeJob
) -> None:
    keys = [host(make_job()).key for _ in range(2)]
    Job.objects.all().delete()
    hosted_path(keys[1]).unlink()  # by hand
    chosen: dict[str, Any] = {"action": "delete_files"}
    chosen["_selected_action"] = list(HostedFile.objects.values_list("pk", flat=True))
    asked = staff.post("/admin/jobs/hostedfile/", chosen)
    page = unescape(asked.content.decode())
    assert "Delete these 2 files?" in page
    assert all(key in page for key in keys)
    assert HostedFile.objects.count() == 2
    answer = staff.post("/admin/jobs/hostedfile/", chosen | {"confirmed": "yes"}, follow=True)
    assert said(answer) == ["Deleted 2 files."]
    assert not HostedFile.objects.exists()
    assert not hosted_path(keys[0]).exists()


def test_a_file_beside_a_job_that_may_publish_it_anew_stays(
    staff: Client, make_job: MakeJob
) -> None:
    old = make_job()
    rendition = host(old)
    make_job(State.PENDING, reference=old.reference)
    chosen = {"action": "delete_files", "_selected_action": [old.hosted_files.get().pk]}
    [refusal] = said(
        staff.post("/admin/jobs/hostedfile/", chosen | {"confirmed": "yes"}, follow=True)
    )
    assert refusal.startswith(rendition.key)
    assert hosted_path(rendition.key).exists()


def test_too_many_jobs_at_once_are_refused(
    staff: Client, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "AT_ONCE", 2)
    jobs = [make_job(State.PENDING, source=False) for _ in range(3)]
    assert said(on_list(staff, "cancel_jobs", jobs, select_across="1")) == [
        "Choose at most 2 jobs at a time."
    ]
    assert Job.objects.filter(state=State.PENDING).count() == 3


def test_a_flood_of_refusals_is_cut(staff: Client, make_job: MakeJob) -> None:
    jobs = [make_job(State.COMPLETED, source=False) for _ in range(12)]
    messages = said(on_list(staff, "cancel_jobs", jobs))
    assert len(messages) == actions.MOST_REASONS + 1
    assert messages[-1] == "2 more jobs refused."


def test_the_page_offers_what_suits_the_state(staff: Client, make_job: MakeJob) -> None:
    done = make_job(State.COMPLETED)
    host(done)
    offered = {
        job.state: [button.label for button in _page(staff, job).context["buttons"]]
        for job in (
            make_job(State.PENDING),
            make_job(State.PROCESSING),
            make_job(State.FAILED),
            done,
        )
    }
    assert offered == {
        "pending": ["Cancel"],
        "processing": [],
        "failed": ["Replay"],
        "completed": ["Delete outputs"],
    }


def _page(client: Client, job: Job) -> Any:
    return client.get(f"/admin/jobs/job/{job.pk}/change/")


def test_an_unknown_action_is_not_found(staff: Client, make_job: MakeJob) -> None:
    assert on_page(staff, "explode", make_job()).status_code == 404


def test_callbacks_are_sent_again(staff: Client, make_job: MakeJob) -> None:
    given_up = owe(make_job(), state=CallbackState.GIVEN_UP, attempts_made=9)
    held = timezone.now() + timedelta(minutes=5)
    busy = owe(make_job(), state=CallbackState.SENDING, next_at=held)
    form = {"action": "send_again", "_selected_action": [given_up.pk, busy.pk]}
    answer = staff.post("/admin/jobs/callback/", form, follow=True)
    assert said(answer) == ["1 callback will be sent.", "1 being sent at this moment already."]
    given_up.refresh_from_db()
    assert (given_up.state, given_up.attempts_before) == (CallbackState.WAITING, 9)
    assert callbacks.due().get() == given_up


def test_a_callback_is_sent_again_from_its_page(staff: Client, make_job: MakeJob) -> None:
    callback = owe(make_job(), state=CallbackState.SENT)
    page = staff.get(f"/admin/jobs/callback/{callback.pk}/change/").content.decode()
    assert f"/admin/jobs/callback/{callback.pk}/send/" in page
    answer = staff.post(f"/admin/jobs/callback/{callback.pk}/send/", follow=True)
    assert said(answer) == ["1 callback will be sent."]
    assert callbacks.due().get() == callback
    assert staff.get(f"/admin/jobs/callback/{callback.pk}/send/").status_code == 405
    assert staff.post("/admin/jobs/callback/0/send/").status_code == 404
    assert Client().post(f"/admin/jobs/callback/{callback.pk}/send/").status_code == 302
