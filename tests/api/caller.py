"""A caller of the API, and what every refusal looks like."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.test import Client

from jobs import pipeline
from jobs.models import Job
from tests.jobs.making import DOT, SMALL_JOB
from tests.server import make_token, multipart

PROBLEM_KEYS = {"type", "title", "status", "detail", "code"}


def upload_secret() -> str:
    """What upload tokens are signed with here."""
    return str(settings.KEYS.jwt_secret)


def upload_token(
    job: dict[str, Any] | None = SMALL_JOB, subject: str = "alice", **rest: Any
) -> str:
    return make_token(job, subject=subject, secret=upload_secret(), **rest)


def assert_problem(answer: Any, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    """RFC 9457 with exactly our members; returns the body."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert set(body) - {"field", "errors"} == PROBLEM_KEYS
    assert body["type"] == f"urn:pixerve:problem:{code}"
    assert (body["code"], body["status"]) == (code, status)
    assert body["title"]
    assert body["detail"]
    if field is not None:
        assert body["field"] == field, body
    if status == 401:
        assert answer["WWW-Authenticate"].startswith("Bearer")
    return body


def staged_folders() -> list[Path]:
    root = Path(settings.PIXERVE.data_dir) / "staging"
    return sorted(root.iterdir()) if root.exists() else []


def nothing_stored() -> bool:
    return not Job.objects.exists() and not staged_folders()


class Api:
    """Django's client with tokens and uploads."""

    def __init__(self, **options: Any) -> None:
        self.client = Client(**options)

    def call(self, method: str, path: str, *, token: str | None = None, **options: Any) -> Any:
        """The answer, with all of its bytes as `body`."""
        if token is not None:
            options["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        answer: Any = self.client.generic(method, path, **options)
        answer.body = b"".join(answer) if answer.streaming else answer.content
        return answer

    def get(self, path: str, **options: Any) -> Any:
        return self.call("GET", path, **options)

    def post_json(
        self, path: str, data: object, *, token: str | None = None, **options: Any
    ) -> Any:
        if token is not None:
            options["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        return self.client.post(path, data, content_type="application/json", **options)

    def send(
        self, parts: list[tuple[str, str, bytes]], token: str | None = None, **options: Any
    ) -> Any:
        """Upload (field, file name, content) parts."""
        body, content_type = multipart(parts)
        return self.call(
            "POST", "/upload", token=token, data=body, content_type=content_type, **options
        )

    def upload(
        self, content: bytes = DOT, *, name: str = "dot.png", token: str | None = None
    ) -> Any:
        return self.send([("file", name, content)], token or upload_token())

    def accepted(self, content: bytes = DOT, **options: Any) -> str:
        """Upload and return the hash."""
        answer = self.upload(content, **options)
        assert answer.status_code == 202, answer.content
        return str(answer.json()["hash"])

    def finished(self, content: bytes = DOT, **options: Any) -> str:
        """Upload, work, and return the hash."""
        reference = self.accepted(content, **options)
        pipeline.wake()
        return reference

    def sign_in(self, username: str, password: str) -> str:
        answer = self.post_json("/token", {"username": username, "password": password})
        assert answer.status_code == 200, answer.content
        return str(answer.json()["access"])
