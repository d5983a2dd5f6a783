"""/v1/credentials and POST /admin/credentials: staff register storages; secrets never come out."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from credentials.models import Credential, CredentialChange
from tests.api.caller import Api, assert_problem, upload_token
from tests.api.registering import ALL, DATA, ONE, ORIGINAL, SECRET, create

# --- making


@pytest.mark.parametrize("path", ["/admin/credentials", ALL])
@pytest.mark.parametrize(
    "content_type", ["application/json", "application/x-www-form-urlencoded", "text/plain", "x"]
)
def test_the_original_body_is_taken(api: Api, staff: str, path: str, content_type: str) -> None:
    body = json.dumps(ORIGINAL)
    answer = api.call("POST", path, token=staff, data=body, content_type=content_type)
    assert answer.status_code == 201, answer.content
    found = answer.json()
    assert answer["Location"].endswith(ONE)
    assert (found["key"], found["type"], found["owner"]) == ("my-s3-key", "s3", "")
    assert found["data"] == {"bucket": "pictures", "access_key_id": "AKIA1"}
    assert (found["secrets"], found["state"]) == (["secret_access_key"], "ready")
    assert found["last_used_at"] is None
    [change] = found["changes"]
    assert (change["who"], change["action"]) == ("boss", "created")
    assert set(change["fields"]) == {"bucket", "access_key_id", "secret_access_key"}
    assert SECRET not in answer.content.decode()


def test_the_sealed_row_shows_nothing(api: Api, staff: str) -> None:
    create(api, staff)
    row = Credential.objects.get()
    assert SECRET not in repr(row.__dict__)
    assert row.sealed
    assert len(row.key_id) == 8


def test_equal_secrets_have_equal_fingerprints(api: Api, staff: str) -> None:
    prints = [
        create(api, staff, key=key, data={**DATA, **data}).json()["fingerprint"]
        for key, data in [("a", {}), ("b", {"bucket": "other"}), ("c", {"secret_key": "x"})]
    ]
    assert prints[0] == prints[1] != prints[2]
    assert all(len(each) == 16 for each in prints)


def test_a_key_is_taken_once(api: Api, staff: str) -> None:
    create(api, staff)
    assert_problem(create(api, staff), 409, "credential_exists", "key")
    assert CredentialChange.objects.count() == 1


@pytest.mark.parametrize("key", ["a", "A.b_c-9", "x" * 128])
def test_good_keys(api: Api, staff: str, key: str) -> None:
    assert create(api, staff, key=key).status_code == 201
    assert api.get(f"{ALL}/{key}", token=staff).json()["key"] == key


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        *[({"key": key}, "key") for key in ("", "x" * 129, "a b", "a/b", "é", "a\n", 5, None, [])],
        *[({"type": kind}, "type") for kind in ("", "ftp", "S3", 5, None)],
        *[({"data": data}, "data") for data in ([], "x", None, 5)],
        *[({"owner": owner}, "owner") for owner in ("x" * 256, "a\n", 5, None)],
        ({"colour": "red"}, "colour"),
        ({"data": {**DATA, "colour": "red"}}, "data.colour"),
        ({"data": {**DATA, "bucket": 5}}, "data.bucket"),
        ({"data": {**DATA, "bucket": ""}}, "data.bucket"),
        ({"data": {**DATA, "secret_key": 5}}, "data.secret_access_key"),
        ({"data": {**DATA, "secret_key": ""}}, "data.secret_access_key"),
        ({"data": {**DATA, "secret_key": None}}, "data.secret_access_key"),
        ({"data": {**DATA, "access_key_id": "AKIA2"}}, "data.access_key_id"),
        ({"data": {**DATA, "endpoint": "ftp://x"}}, "data.endpoint"),
        ({"data": {**DATA, "acl": "everybody"}}, "data.acl"),
        ({"data": {**DATA, "prefix": "a\0b"}}, "data"),
        ({"data": {**DATA, "prefix": "\ud800"}}, "data"),
        ({"data": {**DATA, "secret_key": "x" * 70_000}}, "data"),
        ({"data": {str(n): n for n in range(65)}}, "data"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_wrong_is_named(api: Api, staff: str, changes: dict[str, Any], field: str) -> None:
    assert_problem(create(api, staff, **changes), 422, "invalid_credential", field)
    assert not Credential.objects.exists()


def test_all_that_is_wrong_is_named(api: Api, staff: str) -> None:
    body = assert_problem(create(api, staff, data={"x": 1}), 422, "invalid_credential")
    assert {each["field"] for each in body["errors"]} == {
        "data.x", "data.bucket", "data.access_key_id", "data.secret_access_key",
    }  # fmt: skip
    body = assert_problem(api.post_json(ALL, {}, token=staff), 422, "invalid_credential")
    assert {each["field"] for each in body["errors"]} == {"key", "type", "data"}


@pytest.mark.parametrize("body", ["", "{", "[]", "5", "null", '"x"', "[" * 100_000, "\xff"])
def test_what_is_no_object(api: Api, staff: str, body: str) -> None:
    for path in ("/admin/credentials", ALL):
        answer = api.call(
            "POST", path, token=staff, data=body.encode("latin-1"), content_type="application/json"
        )
        assert answer.status_code in {400, 422}, answer.content
        assert answer["Content-Type"] == "application/problem+json"


# --- who


CALLS = [
    ("POST", "/admin/credentials"),
    ("GET", ALL),
    ("POST", ALL),
    ("GET", ONE),
    ("PATCH", ONE),
    ("DELETE", ONE),
    ("POST", f"{ONE}/test"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_only_staff(api: Api, staff: str, plain: str, method: str, path: str) -> None:
    create(api, staff)
    body = {"data": json.dumps(ORIGINAL), "content_type": "application/json"}
    stranger = Api()
    assert_problem(stranger.call(method, path, **body), 401, "not_authenticated")
    assert_problem(stranger.call(method, path, token=plain, **body), 403, "staff_only")
    assert_problem(stranger.call(method, path, token=upload_token(), **body), 401, "invalid_token")
    assert Credential.objects.count() == CredentialChange.objects.count() == 1


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_an_admin_session_needs_the_csrf_token(staff_user: User, content_type: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(staff_user)
    body = json.dumps(ORIGINAL)
    for path in ("/admin/credentials", ALL):
        answer = client.post(path, body, content_type=content_type)
        assert_problem(answer, 403, "not_allowed")
    secret = "a" * 32
    client.cookies["csrftoken"] = secret
    answer = client.post(ALL, body, content_type=content_type, headers={"X-CSRFToken": secret})
    assert answer.status_code == 201, answer.content


def test_json_that_is_called_a_multipart_form(api: Api, staff: str, staff_user: User) -> None:
    kind, body = "multipart/form-data; boundary=x", json.dumps(ORIGINAL)
    answer = api.call("POST", ALL, token=staff, data=body, content_type=kind)
    assert answer.status_code == 201, answer.content
    client = Client(enforce_csrf_checks=True)  # looks into the form for the CSRF token
    client.force_login(staff_user)
    assert client.post(ALL, body, content_type=kind).status_code in {400, 403}


def test_a_form_is_no_json(api: Api, staff: str) -> None:
    answer = api.client.post(ALL, ORIGINAL | {"data": "x"}, HTTP_AUTHORIZATION=f"Bearer {staff}")
    assert_problem(answer, 400, "malformed_request")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_the_original_door_only_takes_posts(api: Api, staff: str, method: str) -> None:
    answer = api.call(method, "/admin/credentials", token=staff)
    assert_problem(answer, 405, "method_not_allowed")


# --- reading


def test_unknown_ones(api: Api, staff: str) -> None:
    for key in ("nobody", "a b", "x" * 500, "%00"):
        for method, rest in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test")):
            answer = api.call(
                method, f"{ALL}/{key}{rest}", token=staff, data="{}",
                content_type="application/json",
            )  # fmt: skip
            assert_problem(answer, 404, "unknown_credential")


def test_the_list_has_pages_and_filters(api: Api, staff: str, roots: Path) -> None:
    for number in range(5):
        create(api, staff, key=f"k{number}", owner="ann" if number % 2 else "")
    create(api, staff, key="disk", type="local", data={"root": str(roots)})
    seen, path = [], f"{ALL}?limit=2"
    while path:
        page = api.get(path, token=staff).json()
        assert page["count"] == len(page["credentials"]) == 2
        seen += [each["key"] for each in page["credentials"]]
        path = (page["next"] or "").partition("8080")[2]
    assert seen == ["disk", "k0", "k1", "k2", "k3", "k4"]
    for query, keys in [
        ("type=local", ["disk"]),
        ("owner=ann", ["k1", "k3"]),
        ("owner=", ["disk", "k0", "k2", "k4"]),
        ("type=s3&after=k2", ["k3", "k4"]),
    ]:
        found = api.get(f"{ALL}?{query}", token=staff).json()
        assert [each["key"] for each in found["credentials"]] == keys
        assert SECRET not in json.dumps(found)


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "limit=٣", "type=a%00"])
def test_wrong_parameters(api: Api, staff: str, query: str) -> None:
    assert_problem(api.get(f"{ALL}?{query}", token=staff), 400, "invalid_parameter")
    assert_problem(api.get(f"{ALL}?x=1", token=staff), 400, "unknown_parameter", "x")
