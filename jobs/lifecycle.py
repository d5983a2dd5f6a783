"""What people do to jobs: cancel, replay, delete outputs. The API and the admin both call these."""

from django.db import IntegrityError, transaction
from django.utils import timezone

from jobs import bells, deliveries, events, hosted, hosted_reading, staging, strays, transitions
from jobs.errors import Conflict, Gone
from jobs.models import EventType, HostedFile, Job, Reference, Rendition
from jobs.states import FINAL, IN_FLIGHT, State


def cancel(job: Job) -> None:
    """Take a job back that no worker has begun. Raises Conflict."""
    with transaction.atomic():
        happened = transitions.cancel(job)
        if happened:
            job.refresh_from_db(fields=["fence"])
            strays.remove(job)
            events.tell(job, EventType.CANCELLED)
    if not happened:
        job.refresh_from_db(fields=["state"])
        raise Conflict(
            "not_pending", f"only a pending job can be cancelled; this one is {job.state}"
        )
    staging.discard(job.uid)


def replay(job: Job) -> None:
    """Run a failed job again from what is kept: what was delivered stays, and what was made and
    lies in staging is not made anew. Raises Conflict, Gone, Unavailable."""
    if not staging.has_source(job.uid):
        Job.objects.filter(pk=job.pk, state=State.FAILED).update(has_source=False)
    try:
        with transaction.atomic():
            happened = transitions.replay(job)
            if happened and job.made_by:
                deliveries.replay(job)
            transaction.on_commit(bells.queue.ring, robust=True)
    except IntegrityError:
        raise Conflict(
            "duplicate_in_flight", "a newer job with this picture is in flight; wait for its end"
        ) from None
    if happened:
        return
    try:
        job.refresh_from_db(fields=["state", "has_source"])
    except Job.DoesNotExist:  # pruned at this moment
        raise Gone("source_gone", "this job is no longer kept; upload its picture again") from None
    if job.state == State.FAILED:
        raise Gone("source_gone", "the source of this job is no longer kept; upload it again")
    raise Conflict("not_failed", f"only a failed job can be replayed; this one is {job.state}")


def _refuse_beside_a_newer(reference: str) -> None:
    """Raise Conflict where a job publishes files of this name, whose rows it commits later. Until
    the transaction ends no upload becomes one: it needs the row, too."""
    Reference.objects.select_for_update(no_key=True).get(pk=reference)
    if Job.objects.filter(reference=reference, state__in=IN_FLIGHT).exists():
        raise Conflict("in_flight", "a newer job with this picture is in flight; wait for its end")


def delete_hosted(file: HostedFile) -> bool:
    """Remove a file from `/files/`; false where it is gone, or a newer job's, meanwhile.

    It goes before its row is committed: a kill between the two leaves a row that the next call
    removes, where a file without a row would be served for ever. Raises Conflict, DeliveryError.
    """
    with transaction.atomic():
        if file.reference_id is not None:
            _refuse_beside_a_newer(file.reference_id)
        elif hosted_reading.is_under_way(file.path):
            raise Conflict("in_flight", "a job that may publish this file is in flight")
        if not HostedFile.objects.filter(pk=file.pk, job=file.job_id).delete()[0]:
            return False
        if file.job_id is not None:
            made = Rendition.objects.filter(job=file.job_id, key=file.path)
            made.update(removed_at=timezone.now())
        hosted.remove(file.path)
    return True


def delete_outputs(job: Job) -> int:
    """Remove the job's files from `/files/`; returns how many. A newer job's files stay. Raises
    Conflict, DeliveryError."""
    if job.state not in FINAL:
        raise Conflict("in_flight", "the job is in flight; its outputs are not there yet")
    return sum(map(delete_hosted, HostedFile.objects.filter(job=job)))
