"""Credentials: how to reach a storage, and the encryption of what must stay secret."""

from django.apps import AppConfig


class CredentialsConfig(AppConfig):
    name = "credentials"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from credentials import rotation, secret  # noqa: PLC0415 - models are there only now
        from credentials.models import Credential  # noqa: PLC0415

        rotation.register(
            rotation.Column(
                Credential, "sealed", lambda row: secret.purpose(row.pk), key_id_field="key_id"
            )
        )
