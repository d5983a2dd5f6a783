"""Events of their own: what a callback tells moves from its row to the event that it points to."""

import uuid

import django.db.models.deletion
import django.utils.timezone
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import jobs.fields

EVENT_TYPES = [
    ("job.completed", "Job completed"),
    ("job.failed", "Job failed"),
    ("job.cancelled", "Job cancelled"),
]


def move_to_events(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """One event for each callback, in their order and under the same message id."""
    Callback, Event = apps.get_model("jobs", "Callback"), apps.get_model("jobs", "Event")
    for callback in Callback.objects.select_related("job").order_by("id").iterator():
        callback.event = Event.objects.create(
            message_id=callback.message_id,
            job=callback.job,
            subject=callback.job.subject,
            type=callback.event_type,
            payload=callback.payload,
            at=callback.created_at,
        )
        callback.save(update_fields=["event"])


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Event",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("message_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("subject", models.CharField(max_length=255)),
                ("type", models.CharField(choices=EVENT_TYPES, max_length=32)),
                ("payload", jobs.fields.VerbatimJSONField()),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "job",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="events",
                        to="jobs.job",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["subject", "id"], name="event_by_subject")],
            },
        ),
        migrations.AddField(
            "callback", "attempts_before", models.PositiveIntegerField(default=0)
        ),
        migrations.RenameField("callback", "event", "event_type"),
        migrations.AddField(
            "callback",
            "event",
            models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="callback",
                to="jobs.event",
            ),
        ),
        migrations.RunPython(move_to_events),
        migrations.RemoveField("callback", "event_type"),
        migrations.RemoveField("callback", "message_id"),
        migrations.RemoveField("callback", "payload"),
        migrations.AlterField(
            "callback",
            "event",
            models.OneToOneField(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="callback",
                to="jobs.event",
            ),
        ),
    ]
