"""How to reach the storages, and who changed that when.

Credential ◀── by key ── CredentialChange (append-only; outlives what it tells of)
"""

import re
import uuid

from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

KEY_PATTERN = r"[A-Za-z0-9._-]{1,128}"
MAX_OWNER = 255


class Credential(models.Model):
    """How to reach one storage. `options` may be seen, `sealed` holds the secret fields.

    `owner` is the subject whose jobs may name it; "" is for everybody's. `revision` counts the
    changes of options and secret. `fingerprint` is the same for equal secrets and tells nothing
    else of them; `key_id` names the key of `PIXERVE_CREDENTIAL_KEYS` that sealed them.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key = models.CharField(
        max_length=128, unique=True, validators=[RegexValidator(rf"\A{KEY_PATTERN}\Z")]
    )
    type = models.CharField(max_length=32)
    options = models.JSONField(default=dict)
    sealed = models.TextField(blank=True, default="", editable=False)
    key_id = models.CharField(max_length=8, blank=True, default="", editable=False)
    owner = models.CharField(max_length=MAX_OWNER, blank=True, default="")
    fingerprint = models.CharField(max_length=16, blank=True, default="", editable=False)
    revision = models.PositiveIntegerField(default=1, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["key"]

    def __str__(self) -> str:
        return f"{self.key} ({self.type})"


def by_key(key: str) -> models.QuerySet[Credential]:
    """The credential of that key, or none. What is no key is not asked for: the database may not
    even take it as a text."""
    known = (
        Credential.objects.all() if re.fullmatch(KEY_PATTERN, key) else Credential.objects.none()
    )
    return known.filter(key=key)


class Action(models.TextChoices):
    CREATED = "created", "Created"
    CHANGED = "changed", "Changed"
    DELETED = "deleted", "Deleted"


class CredentialChange(models.Model):
    """Who changed which fields of a credential when; never their values."""

    key = models.CharField(max_length=128)
    at = models.DateTimeField(default=timezone.now)
    who = models.CharField(max_length=150)
    action = models.CharField(max_length=8, choices=Action.choices)
    fields = models.JSONField(default=list)

    class Meta:
        # the history of one credential, newest first
        indexes = [models.Index(fields=["key", "-id"], name="change_by_key")]

    def __str__(self) -> str:
        return f"{self.key} {self.action} by {self.who}"
