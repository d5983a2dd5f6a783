"""Jobs: intake, state machine, pipeline, callbacks, retention, API and admin."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"
    verbose_name = "Pixerve"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from jobs import bells, sealed  # noqa: PLC0415 - models are there only now

        sealed.register()
        bells.others()  # before the first request, and before a cluster forks
