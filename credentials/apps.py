"""Credentials: how to reach a storage, and the encryption of what must stay secret."""

from django.apps import AppConfig


class CredentialsConfig(AppConfig):
    name = "credentials"
