"""Shapes of answers, for the OpenAPI document only."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

HASH = OpenApiParameter(
    "hash",
    str,
    required=True,
    description="the `hash` an upload was answered with; with a token also the bare SHA-256 of the"
    " picture, which then means your newest job with it",
)

# Who may call, as `extend_schema(auth=…)`; the schemes are in the settings.
# (drf-spectacular takes OpenAPI's own form, though its annotation knows only names.)
UPLOADER: Any = [{"uploadToken": []}]
USER: Any = [{"userToken": []}]
EITHER: Any = [*UPLOADER, *USER]
ANYONE_OR_EITHER: Any = [{}, *EITHER]

UPLOAD_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "token": {"type": "string", "description": "only where PIXERVE_FORM_TOKEN is on"},
    },
}


class Shape(serializers.Serializer[Any]):
    """The base of all shapes."""


class FieldError(Shape):
    field = serializers.CharField()
    message = serializers.CharField()


class Problem(Shape):
    """RFC 9457 problem details."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    field = serializers.CharField(required=False)
    errors = FieldError(many=True, required=False)  # type: ignore[assignment]


class Accepted(Shape):
    hash = serializers.CharField()
    expected_files = serializers.ListField(child=serializers.CharField())
    job_id = serializers.UUIDField()
    status_url = serializers.URLField()


class Progress(Shape):
    done = serializers.IntegerField()
    total = serializers.IntegerField()


class File(Shape):
    name = serializers.CharField()
    format = serializers.CharField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    bytes = serializers.IntegerField()
    sha256 = serializers.CharField()
    superseded = serializers.BooleanField()
    url = serializers.URLField(allow_null=True)


class Trouble(Shape):
    code = serializers.CharField()
    message = serializers.CharField()


class Delivery(Shape):
    """One file at one storage; `url` is signed, for an hour, where the storage is private."""

    name = serializers.CharField()
    key = serializers.CharField()
    type = serializers.CharField()
    storage_key = serializers.CharField()
    state = serializers.CharField()
    bytes = serializers.IntegerField(allow_null=True)
    checksum = serializers.CharField(allow_null=True)
    url = serializers.URLField(allow_null=True)
    error = Trouble(required=False)
    attempts = serializers.IntegerField()
    next_attempt_at = serializers.DateTimeField(allow_null=True)
    delivered_at = serializers.DateTimeField(allow_null=True)


class Warning_(Shape):  # noqa: N801 - `Warning` is Python's own
    code = serializers.CharField()
    message = serializers.CharField()


class Status(Shape):
    """`error` is an object for the owner and its bare code for others; what follows it is the
    owner's only."""

    hash = serializers.CharField()
    state = serializers.CharField()
    status = serializers.CharField()
    stage = serializers.CharField(allow_null=True)
    job_id = serializers.UUIDField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    progress = Progress()
    error = serializers.JSONField(required=False)
    warnings = Warning_(many=True, required=False)
    timings = serializers.DictField(child=serializers.FloatField(), required=False)
    attempts = serializers.IntegerField(required=False)
    files = File(many=True, required=False)
    deliveries = Delivery(many=True, required=False)


class Cancelled(Shape):
    hash = serializers.CharField()
    state = serializers.CharField()
    message = serializers.CharField()


class SuccessRecord(Shape):
    hash = serializers.CharField()
    status = serializers.CharField()
    timestamp = serializers.DateTimeField(required=False)
    file_count = serializers.IntegerField(required=False)
    job_data = serializers.CharField(required=False)
    message = serializers.CharField(required=False)


class FailureRecord(Shape):
    hash = serializers.CharField()
    status = serializers.CharField()
    timestamp = serializers.DateTimeField(required=False)
    error = serializers.CharField(required=False)
    job_data = serializers.CharField(required=False)
    message = serializers.CharField(required=False)


class SuccessList(Shape):
    success_records = SuccessRecord(many=True)
    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)


class FailureList(Shape):
    failures = FailureRecord(many=True)
    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)


class Told(Shape):
    state = serializers.CharField()
    attempts = serializers.IntegerField()


class Event(Shape):
    id = serializers.IntegerField()
    message_id = serializers.UUIDField()
    type = serializers.CharField()
    at = serializers.DateTimeField()
    subject = serializers.CharField()
    job_id = serializers.UUIDField()
    callback = Told(allow_null=True)
    data = serializers.JSONField()  # type: ignore[assignment]


class Events(Shape):
    events = Event(many=True)
    count = serializers.IntegerField()
    cursor = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)


class Replayed(Shape):
    message_id = serializers.UUIDField()
    state = serializers.CharField()


class AccessToken(Shape):
    access = serializers.CharField()


class TokenPair(AccessToken):
    refresh = serializers.CharField()


class Registered(Shape):
    id = serializers.IntegerField()
    username = serializers.CharField()


class IssuedToken(Shape):
    token = serializers.CharField()
    expires_in = serializers.IntegerField()


class CredentialChange(Shape):
    at = serializers.DateTimeField()
    who = serializers.CharField()
    action = serializers.CharField(help_text="created, changed or deleted")
    fields = serializers.ListField(child=serializers.CharField())  # type: ignore[assignment]


class CredentialSummary(Shape):
    """`data` holds what may be seen; `secrets` names the secret fields that are set."""

    key = serializers.CharField()
    type = serializers.CharField()
    owner = serializers.CharField()
    data = serializers.DictField()  # type: ignore[assignment]
    secrets = serializers.ListField(child=serializers.CharField())
    state = serializers.CharField(help_text="ready, or unreadable where its key is gone")
    fingerprint = serializers.CharField()
    key_id = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)


class Credential(CredentialSummary):
    changes = CredentialChange(many=True)


class CredentialList(Shape):
    credentials = CredentialSummary(many=True)
    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)


class CredentialVerdict(Shape):
    ok = serializers.BooleanField()
    duration_s = serializers.FloatField()
    code = serializers.CharField(required=False)
    message = serializers.CharField(required=False)
    permanent = serializers.BooleanField(required=False)


class Health(Shape):
    status = serializers.CharField()
    timestamp = serializers.DateTimeField()
    version = serializers.CharField()
    uptime = serializers.CharField()
    start_time = serializers.DateTimeField()


class Ok(Shape):
    status = serializers.CharField()


class Ready(Shape):
    status = serializers.CharField()
    checks = serializers.DictField(required=False)
    storages = serializers.DictField(required=False)
    sandbox = serializers.DictField(required=False)


class Version(Shape):
    version = serializers.CharField()
    build_time = serializers.CharField()
    git_commit = serializers.CharField()
    python_version = serializers.CharField()
    imagemagick_version = serializers.CharField()
