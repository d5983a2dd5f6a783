"""POST /upload: which tokens open it, in the header and in the form."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from jobs.models import Job
from tests.api.caller import Api, assert_problem, nothing_stored, upload_token
from tests.jobs.making import DOT

Configure = Callable[..., None]


def form_with_token(token: str, content: bytes = DOT) -> tuple[bytes, str]:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="token"\r\n\r\n'
        + token.encode()
        + b'\r\n--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        + content
        + b"\r\n--x--\r\n"
    )
    return body, "multipart/form-data; boundary=x"


def send_form(api: Api, token: str) -> Any:
    body, content_type = form_with_token(token)
    return api.call("POST", "/upload", data=body, content_type=content_type)


def test_a_form_token_is_refused_unless_allowed(api: Api) -> None:
    assert_problem(send_form(api, upload_token()), 401, "not_authenticated")
    assert nothing_stored()


def test_a_form_token_where_allowed(api: Api, configure: Configure) -> None:
    configure(form_token=True)
    assert send_form(api, upload_token()).status_code == 202


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        ("nonsense", 401, "invalid_token"),
        ("é" * 20, 401, "invalid_token"),
        ("", 401, "not_authenticated"),
        ("x" * 20_000, 401, "token_too_long"),
    ],
)
def test_a_bad_form_token_leaves_nothing(
    api: Api, configure: Configure, token: str, status: int, code: str
) -> None:
    configure(form_token=True)
    assert_problem(send_form(api, token), status, code)
    assert nothing_stored()


def test_a_form_token_with_a_bad_spec_leaves_nothing(api: Api, configure: Configure) -> None:
    configure(form_token=True)
    assert_problem(send_form(api, upload_token({})), 422, "invalid_spec")
    assert nothing_stored()


def test_the_header_wins_over_the_form(api: Api, configure: Configure) -> None:
    configure(form_token=True)
    body, content_type = form_with_token(upload_token(subject="form"))
    answer = api.call(
        "POST",
        "/upload",
        token=upload_token(subject="header"),
        data=body,
        content_type=content_type,
    )
    assert answer.status_code == 202
    assert Job.objects.get().subject == "header"


# Doors


def test_a_staff_token_uploads_nothing(api: Api, staff: str) -> None:
    assert_problem(api.upload(token=staff), 401, "invalid_token")


def test_an_admin_session_uploads_nothing(staff_user: object) -> None:
    client = Client()
    client.force_login(staff_user)  # type: ignore[arg-type]
    body, content_type = form_with_token("x")
    answer = client.generic("POST", "/upload", body, content_type=content_type)
    assert_problem(answer, 401, "not_authenticated")
