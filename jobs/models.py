"""The job table is the truth, and the queue.

Reference ◀── Job ──▶ Rendition (one produced file) ◀── Delivery (to one destination)
               ├────▶ Success | Failure (append-only records of its ends)
               └────▶ Event ◀── Callback ──▶ CallbackAttempt
Arrival: an upload that is no job yet, on its way into the bucket
HostedFile: what lies at a path of `/files/`; lives as long as the file, not as the job
StorageHealth: how the last deliveries to one credential went, for all processes
"""

import uuid
from datetime import UTC, datetime

from django.db import models
from django.db.models import Q
from django.utils import timezone

from jobs.fields import VerbatimJSONField
from jobs.states import IN_FLIGHT, Stage, State

# Before any clock: a job that nobody delayed is runnable whatever the clock says now or said then.
AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)


class Reference(models.Model):
    """The name under which one subject's jobs with one content are known outside.

    The first subject to bring a content gets its bare SHA-256, further ones `{sha256}_1`, `_2` ….
    A name that was `delivered` is never given to another one: files of that name lie in storages
    for ever. It is noted when the records that say so go (`jobs.retention`).
    """

    name = models.CharField(max_length=80, primary_key=True)
    sha256 = models.CharField(max_length=64)
    subject = models.CharField(max_length=255)
    delivered = models.BooleanField(default=False, db_default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["sha256", "subject"], name="one_reference_each")
        ]

    def __str__(self) -> str:
        return self.name


class Job(models.Model):
    """One accepted upload and what became of it; `jobs.states` draws its transitions.

    A worker that claims a job raises `fence`; each later write of that worker names the number, so
    that one who lost its lease can write nothing. `turn` makes subjects take turns.

    A job with deliveries keeps the fence of the claim that made its renditions as `made_by`: they
    lie in that claim's folder of staging. While it only waits for a delivery's next try it is
    `processing`, stage `delivering`, without an owner: nobody holds a lease.
    """

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    subject = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64)
    reference = models.ForeignKey(
        Reference,
        on_delete=models.PROTECT,
        related_name="jobs",
        db_index=False,  # job_by_reference begins with it
    )

    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    stage = models.CharField(max_length=10, choices=Stage.choices, default=Stage.NONE, blank=True)
    priority = models.PositiveSmallIntegerField(default=0)
    turn = models.BigIntegerField(default=0)
    run_after = models.DateTimeField(default=AT_ONCE)

    spec = VerbatimJSONField()
    sealed_headers = models.TextField(blank=True, default="", editable=False)
    upload_name = models.CharField(max_length=255)
    stem = models.CharField(max_length=64)
    source_format = models.CharField(max_length=10)
    source_bytes = models.BigIntegerField()
    has_source = models.BooleanField(default=True)

    fence = models.PositiveIntegerField(default=0)
    made_by = models.PositiveIntegerField(default=0)
    owner = models.CharField(max_length=200, blank=True, default="")
    beat = models.PositiveIntegerField(default=0)
    excused = models.BooleanField(default=False)
    attempts = models.PositiveIntegerField(default=0)
    crashes = models.PositiveIntegerField(default=0)
    lost_leases = models.PositiveIntegerField(default=0)

    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField()
    warnings = VerbatimJSONField(default=list, blank=True)
    timings = VerbatimJSONField(default=dict, blank=True)
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_message = models.TextField(blank=True, default="")

    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    claimed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subject", "sha256"],
                condition=Q(state__in=IN_FLIGHT),
                name="one_in_flight_each",
            ),
        ]
        # Not partial where the ORM asks: SQLite cannot match a partial index to a bound parameter.
        indexes = [
            # claim, intake: the best runnable row, and the turn that is being served
            models.Index(fields=["state", "priority", "turn", "id"], name="job_queue"),
            # intake: a subject's last turn; shares: the best row of each subject that has one
            models.Index(fields=["state", "subject", "priority", "turn", "id"], name="job_turns"),
            # shares: who is being served, however many jobs only wait for a delivery
            models.Index(
                fields=["state", "subject", "owner"],
                condition=Q(state="processing", owner__gt=""),
                name="job_leased",
            ),
            # status by reference, newest first
            models.Index(fields=["reference", "-id"], name="job_by_reference"),
            # status by token: my newest with this content
            models.Index(fields=["sha256", "subject", "-id"], name="job_by_content"),
            # admin search: a subject's jobs, newest first
            models.Index(fields=["subject", "-id"], name="job_by_subject"),
            # admin filters; reaper and watchdog: the few that are processing
            models.Index(fields=["state", "-id"], name="job_by_state"),
            # retention
            models.Index(
                fields=["finished_at"], condition=Q(finished_at__isnull=False), name="job_ended"
            ),
            # retention, replays of many: the failed whose upload is kept
            models.Index(
                fields=["state", "finished_at"],
                condition=Q(state="failed", has_source=True),
                name="job_kept",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.upload_name} ({self.state})"


class Arrival(models.Model):
    """An upload on its way into the bucket of all hosts, see `jobs.arrivals`: `owner` is the
    process that brings it, and raises `beat` meanwhile."""

    uid = models.UUIDField(primary_key=True, editable=False)
    owner = models.CharField(max_length=200)
    beat = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.uid)


class Rendition(models.Model):
    """One produced file. `key` is its object key at every destination of the job."""

    job = models.ForeignKey(
        Job,
        on_delete=models.CASCADE,
        related_name="renditions",
        db_index=False,  # one_rendition_each begins with it
    )
    name = models.CharField(max_length=200)
    key = models.CharField(max_length=420, db_index=True)
    format = models.CharField(max_length=16)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    encode_ms = models.FloatField(default=0)
    superseded = models.BooleanField(default=False)
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "name"], name="one_rendition_each")]

    def __str__(self) -> str:
        return self.name


class DeliveryState(models.TextChoices):
    WAITING = "waiting", "Waiting"  # due at `next_at`
    SENDING = "sending", "Sending"  # the job's worker, or a clerk, is at it
    DELIVERED = "delivered", "Delivered"  # the store confirmed exactly our bytes
    FAILED = "failed", "Failed"  # no try is left, or none can help


class Delivery(models.Model):
    """One rendition at one destination, with a state of its own.

    `bytes`, `checksum` ("algorithm:hex") and `url` (lasting; "" for none) are what the store said.
    `attempts` count since it was planned or replayed, which was at `since`.
    """

    rendition = models.ForeignKey(
        Rendition,
        on_delete=models.CASCADE,
        related_name="deliveries",
        db_index=False,  # one_delivery_each begins with it
    )
    credential_type = models.CharField(max_length=32)
    credential_key = models.CharField(max_length=128)
    state = models.CharField(
        max_length=10, choices=DeliveryState.choices, default=DeliveryState.WAITING
    )
    attempts = models.PositiveIntegerField(default=0)
    since = models.DateTimeField(default=timezone.now)
    next_at = models.DateTimeField(default=timezone.now)
    bytes = models.BigIntegerField(null=True, blank=True)
    checksum = models.CharField(max_length=150, blank=True, default="")
    url = models.TextField(blank=True, default="")
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    fence = models.PositiveIntegerField(default=0)
    owner = models.CharField(max_length=200, blank=True, default="")
    updated_at = models.DateTimeField(default=timezone.now)
    delivered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["rendition", "credential_key"], name="one_delivery_each"
            )
        ]
        indexes = [
            # clerk: what is due
            models.Index(fields=["state", "next_at"], name="delivery_due"),
        ]

    def __str__(self) -> str:
        return f"{self.rendition_id} to {self.credential_key}"


class StorageHealth(models.Model):
    """How deliveries to one credential go: the last good one, the last error, the breaker.

    `failures` in a row, `opened_at` and `trial_at` (Unix seconds) are a `delivery.breaker.Breaker`.
    """

    credential_key = models.CharField(max_length=128, primary_key=True)
    failures = models.PositiveIntegerField(default=0)
    opened_at = models.FloatField(null=True, blank=True)
    trial_at = models.FloatField(null=True, blank=True)
    last_success_at = models.DateTimeField(null=True, blank=True)
    last_error_at = models.DateTimeField(null=True, blank=True)
    last_error_code = models.CharField(max_length=64, blank=True, default="")
    last_error_message = models.TextField(blank=True, default="")

    class Meta:
        verbose_name = "storage"

    def __str__(self) -> str:
        return self.credential_key


class HostedFile(models.Model):
    """What lies at a path below `/files/`. Outlives its job's record.

    `bytes` and `mtime_ns` say which file on disk the checksum is of: where they differ from the
    file, the checksum is made anew (`jobs.api.files`). A `private` one needs a signed link.
    """

    path = models.CharField(max_length=420, unique=True)
    job = models.ForeignKey(Job, on_delete=models.SET_NULL, null=True, related_name="hosted_files")
    reference = models.ForeignKey(
        Reference, on_delete=models.PROTECT, null=True, related_name="hosted_files"
    )
    sha256 = models.CharField(max_length=64)
    bytes = models.BigIntegerField()
    mtime_ns = models.BigIntegerField()
    media_type = models.CharField(max_length=64)
    private = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.path


class Record(models.Model):
    """What the final records share; never changed once written."""

    subject = models.CharField(max_length=255)
    timestamp = models.DateTimeField(default=timezone.now, db_index=True)
    job_data = VerbatimJSONField()

    class Meta:
        abstract = True
        ordering = ["-id"]


class Success(Record):
    """A job that completed."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="successes")
    reference = models.ForeignKey(Reference, on_delete=models.PROTECT, related_name="+")
    file_count = models.PositiveIntegerField()
    output_bytes = models.BigIntegerField(default=0)

    class Meta(Record.Meta):
        verbose_name_plural = "successes"

    def __str__(self) -> str:
        return f"success of {self.reference_id}"


class Failure(Record):
    """An end of a job with a reason; a replayed job may have several."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="failures")
    reference = models.ForeignKey(Reference, on_delete=models.PROTECT, related_name="+")
    code = models.CharField(max_length=64, db_index=True)
    message = models.TextField()

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class EventType(models.TextChoices):
    COMPLETED = "job.completed", "Job completed"  # every output is where it was asked to be
    FAILED = "job.failed", "Job failed"  # over, with a reason; a replay may end otherwise
    CANCELLED = "job.cancelled", "Job cancelled"  # taken back before work began


class Event(models.Model):
    """One end of a job, as it is told; written with the outcome, whether anybody is told or not.

    The id only ever grows, in the order in which events become visible (`jobs.events`): who read
    everything up to an id has missed nothing. `message_id` is the name outside, the `webhook-id`.
    """

    message_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    subject = models.CharField(max_length=255)
    type = models.CharField(max_length=32, choices=EventType.choices)
    payload = VerbatimJSONField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            # /v1/events: a subject's own, in order
            models.Index(fields=["subject", "id"], name="event_by_subject"),
        ]

    def __str__(self) -> str:
        return self.type


class CallbackState(models.TextChoices):
    WAITING = "waiting", "Waiting"  # due at `next_at`
    SENDING = "sending", "Sending"  # a clerk holds it
    SENT = "sent", "Sent"  # the endpoint said 2xx
    GIVEN_UP = "given_up", "Given up"  # no try is left, or none can help


class Callback(models.Model):
    """The stored intent to tell a URL of an event; written with it, sent by the clerk.

    `endpoint` is the host and port of `url`, by `jobs.events.endpoint_of`. `attempts_before` were
    made before it was last replayed: the schedule begins after them.
    """

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="callbacks")
    event = models.OneToOneField(Event, on_delete=models.CASCADE, related_name="callback")
    url = models.URLField(max_length=2048)
    endpoint = models.CharField(
        max_length=2048, blank=True, default="", db_default="", editable=False
    )
    sealed_headers = models.TextField(blank=True, default="", editable=False)

    state = models.CharField(
        max_length=10, choices=CallbackState.choices, default=CallbackState.WAITING
    )
    attempts_made = models.PositiveIntegerField(default=0)
    attempts_before = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    fence = models.PositiveIntegerField(default=0)
    owner = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            # clerk: what is due
            models.Index(fields=["state", "next_at"], name="callback_due"),
        ]

    def __str__(self) -> str:
        return f"callback {self.pk} to {self.url}"


class CallbackAttempt(models.Model):
    """One POST of a callback and what came of it."""

    callback = models.ForeignKey(Callback, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    at = models.DateTimeField(default=timezone.now)
    status = models.PositiveIntegerField(null=True, blank=True)
    duration_s = models.FloatField()
    error = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        ordering = ["number"]

    def __str__(self) -> str:
        return f"attempt {self.number}: {self.status or self.error}"
