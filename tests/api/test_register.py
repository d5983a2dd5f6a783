"""POST /register: staff make users; strangers only where the owner lets them."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.api.caller import Api, assert_problem, upload_token

GOOD = {"username": "nina", "password": "a good pass 19"}
Configure = Callable[..., None]


def register(api: Api, token: str | None = None, **changes: Any) -> Any:
    return api.post_json("/register", {**GOOD, **changes}, token=token)


def test_staff_make_a_user_who_can_sign_in(api: Api, staff: str) -> None:
    answer = register(api, staff, email="n@example.com")
    assert answer.status_code == 201
    user = User.objects.get(username="nina")
    assert answer.json() == {"id": user.pk, "username": "nina"}
    assert (user.email, user.is_staff, user.is_superuser) == ("n@example.com", False, False)
    assert user.password != GOOD["password"]
    assert api.sign_in("nina", GOOD["password"])


def test_only_staff(api: Api, plain: str) -> None:
    assert_problem(register(api), 401, "not_authenticated")
    assert_problem(register(api, plain), 403, "staff_only")
    assert_problem(register(api, upload_token()), 401, "invalid_token")
    assert not User.objects.filter(username="nina").exists()


def test_anyone_where_registration_is_open(api: Api, configure: Configure) -> None:
    configure(open_registration=True)
    assert register(api).status_code == 201
    user = User.objects.get(username="nina")
    assert (user.is_staff, user.is_superuser) == (False, False)


@pytest.mark.parametrize("field", ["is_staff", "is_superuser", "is_active", "groups", "id", "pk"])
def test_nobody_raises_himself(api: Api, configure: Configure, field: str) -> None:
    configure(open_registration=True)
    answer = api.post_json("/register", {**GOOD, field: True})
    assert_problem(answer, 400, "invalid_input", field)
    assert not User.objects.exists()


@pytest.mark.parametrize("username", ["boss", "BOSS", "Boss", "\uff42oss", "\uff22OSS"])
def test_a_name_is_taken_whatever_its_case_and_form(
    api: Api, staff: str, staff_user: User, username: str
) -> None:
    assert_problem(register(api, staff, username=username), 409, "username_taken", "username")
    staff_user.refresh_from_db()
    assert staff_user.is_staff


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", ""),
        ("username", "x" * 151),
        ("username", "a b"),
        ("username", "a\0b"),
        ("username", "a\nb"),
        ("username", "<script>"),
        ("username", "\u202eabc"),
        ("username", "\ud800"),
        ("username", None),
        ("username", True),
        ("username", ["nina"]),
        ("password", ""),
        ("password", "short"),
        ("password", "password"),
        ("password", "1234567890"),
        ("password", "nina"),
        ("password", "x" * 129),
        ("password", "a good\0pass 19"),
        ("password", "a good\ud800pass 19"),
        ("password", None),
        ("email", "no address"),
        ("email", "a@b@c"),
        ("email", "a\n@example.com"),
    ],
)
def test_bad_values_are_named(api: Api, staff: str, field: str, value: object) -> None:
    answer = api.post_json("/register", {**GOOD, field: value}, token=staff)
    body = assert_problem(answer, 400, "invalid_input", field)
    assert body["errors"][0]["field"] == field
    assert not User.objects.filter(username="nina").exists()


def test_missing_values_are_all_named(api: Api, staff: str) -> None:
    body = assert_problem(api.post_json("/register", {}, token=staff), 400, "invalid_input")
    assert [error["field"] for error in body["errors"]] == ["username", "password"]


def test_the_password_is_never_repeated(api: Api, staff: str) -> None:
    for password in ("hunter2!", "x" * 200):
        assert password not in register(api, staff, password=password).content.decode()


@pytest.mark.parametrize("path", ["/register", "/tokens"])
def test_an_admin_session_needs_the_csrf_token(staff_user: User, path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(staff_user)
    answer = client.post(path, GOOD, content_type="application/json")
    assert_problem(answer, 403, "not_allowed")
    secret = "a" * 32
    client.cookies["csrftoken"] = secret
    body = GOOD if path == "/register" else {"job": {"directHost": True, "keepOriginal": True}}
    answer = client.post(path, body, content_type="application/json", HTTP_X_CSRFTOKEN=secret)
    assert answer.status_code == 201, answer.content
