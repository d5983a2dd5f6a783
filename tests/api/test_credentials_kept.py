"""Registered storages: changed, tried, deleted, and folders of this machine."""

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pytest_django import Settings

from credentials import usage
from credentials.models import Credential, CredentialChange
from jobs.models import Job
from jobs.states import FINAL, IN_FLIGHT, State
from tests.api.caller import Api, assert_problem
from tests.api.registering import ALL, DATA, ONE, SECRET, create, patch, trial
from tests.jobs.making import make_job, picture, put_in_state

# --- changing


def test_what_is_given_is_replaced(api: Api, staff: str) -> None:
    before = create(api, staff).json()
    answer = patch(api, staff, {"data": {"bucket": "other", "region": "eu-west-1"}, "owner": "ann"})
    assert answer.status_code == 200, answer.content
    after = answer.json()
    assert after["data"] == {
        "bucket": "other", "access_key_id": "AKIA1", "region": "eu-west-1",
    }  # fmt: skip
    assert after["owner"] == "ann"
    assert after["fingerprint"] == before["fingerprint"]
    assert after["updated_at"] > before["updated_at"]
    change = after["changes"][0]
    assert (change["action"], set(change["fields"])) == ("changed", {"bucket", "region", "owner"})


def test_blank_and_missing_secrets_stay(api: Api, staff: str) -> None:
    before = create(api, staff).json()
    for data in ({"secret_key": ""}, {}, {"bucket": "pictures"}, {"secret_key": SECRET}):
        after = patch(api, staff, {"data": data}).json()
        assert after["fingerprint"] == before["fingerprint"]
        assert len(after["changes"]) == 1, "nothing changed"
    after = patch(api, staff, {"data": {"secret_key": "another"}}).json()
    assert after["fingerprint"] != before["fingerprint"]
    assert after["changes"][0]["fields"] == ["secret_access_key"]


def test_null_takes_a_field_away(api: Api, staff: str) -> None:
    create(api, staff, data={**DATA, "session_token": SECRET, "region": "eu-west-1"})
    after = patch(api, staff, {"data": {"session_token": None, "region": None}}).json()
    assert after["secrets"] == ["secret_access_key"]
    assert "region" not in after["data"]
    for field in ("bucket", "secret_access_key"):
        answer = patch(api, staff, {"data": {field: None}})
        assert_problem(answer, 422, "invalid_credential", f"data.{field}")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"key": "other"}, "key"),
        ({"type": "gcs"}, "type"),
        ({"data": []}, "data"),
        ({"data": {"x": 1}}, "data.x"),
        ({"data": {"bucket": ""}}, "data.bucket"),
        ({"data": {"access_key": "a", "access_key_id": "b"}}, "data.access_key_id"),
        ({"owner": "\n"}, "owner"),
        ({"owner": 5}, "owner"),
    ],
)
def test_wrong_changes_change_nothing(
    api: Api, staff: str, body: dict[str, Any], field: str
) -> None:
    create(api, staff)
    before = Credential.objects.values().get()
    assert_problem(patch(api, staff, body), 422, "invalid_credential", field)
    assert Credential.objects.values().get() == before


# --- lost keys


def lose_key(settings: Settings) -> None:
    new = Fernet.generate_key().decode()
    settings.KEYS = replace(settings.KEYS, credential_keys=(new,))


def test_a_lost_key_is_shown_and_can_be_mended(api: Api, staff: str, settings: Settings) -> None:
    create(api, staff)
    lose_key(settings)
    found = api.get(ONE, token=staff).json()
    assert (found["state"], found["secrets"]) == ("unreadable", [])
    assert api.get(ALL, token=staff).json()["credentials"][0]["state"] == "unreadable"
    verdict = trial(api, staff)
    assert (verdict["ok"], verdict["code"]) == (False, "credential_unreadable")
    for data in ({"bucket": "other"}, {"secret_key": ""}):
        answer = patch(api, staff, {"data": data})
        assert_problem(answer, 422, "invalid_credential", "data.secret_access_key")
    assert patch(api, staff, {"owner": "ann"}).status_code == 200
    assert patch(api, staff, {"data": {"secret_key": "anew"}}).json()["state"] == "ready"


# --- deleting


def test_deleting(api: Api, staff: str) -> None:
    create(api, staff)
    answer = api.call("DELETE", ONE, token=staff)
    assert (answer.status_code, answer.content) == (204, b"")
    assert_problem(api.get(ONE, token=staff), 404, "unknown_credential")
    assert [each.action for each in CredentialChange.objects.order_by("id")] == [
        "created", "deleted",
    ]  # fmt: skip


def job_for(number: int, storage: object, state: str) -> Job:
    job = put_in_state(make_job(content=picture(number)), state)
    job.spec = {**job.spec, "storageKeys": storage}
    job.save(update_fields=["spec"])
    return job


@pytest.mark.parametrize("storage", [{"s3": "my-s3-key"}, {"s3": ["a", "my-s3-key"]}])
@pytest.mark.parametrize("state", IN_FLIGHT)
def test_in_use(api: Api, staff: str, storage: object, state: State) -> None:
    create(api, staff)
    job = job_for(1, storage, state)
    body = assert_problem(api.call("DELETE", ONE, token=staff), 409, "credential_in_use")
    assert str(job.uid) in body["detail"]
    assert Credential.objects.exists()
    put_in_state(job, State.COMPLETED)
    assert api.call("DELETE", ONE, token=staff).status_code == 204


def test_who_does_not_need_it(api: Api, staff: str) -> None:
    create(api, staff)
    others = [{"gcs": "my-s3-key"}, {"s3": "my-s3-key2"}, {"s3": ["my-s3-key2"]}, {}]
    others += [{"s3": "MY-S3-KEY"}, {"s3": ["MY-S3-KEY"]}]
    for number, storage in enumerate(others):
        job_for(number, storage, State.PENDING)
    for number, state in enumerate(FINAL, 10):
        job_for(number, {"s3": "my-s3-key"}, state)
    assert api.call("DELETE", ONE, token=staff).status_code == 204


def test_a_flood_of_jobs_is_cut(api: Api, staff: str) -> None:
    create(api, staff)
    for number in range(usage.MOST_NAMED + 2):
        job_for(number, {"s3": "my-s3-key"}, State.PENDING)
    body = assert_problem(api.call("DELETE", ONE, token=staff), 409, "credential_in_use")
    assert body["detail"].count("job ") == usage.MOST_NAMED
    assert body["detail"].endswith("and more")


# --- trying


def test_a_folder_that_works_and_one_that_does_not(api: Api, staff: str, roots: Path) -> None:
    create(api, staff, type="local", data={"root": str(roots)})
    verdict = trial(api, staff)
    assert verdict["ok"] is True
    assert verdict["duration_s"] >= 0
    assert list(roots.iterdir()) == []
    roots.rename(roots.with_name("gone"))
    roots.write_text("a file")
    verdict = trial(api, staff)
    assert verdict["ok"] is False
    assert verdict["code"]
    assert verdict["message"]


def test_a_storage_that_is_down(api: Api, staff: str) -> None:
    from tests.server import free_port

    create(api, staff, data={**DATA, "endpoint": f"http://127.0.0.1:{free_port()}"})
    verdict = trial(api, staff)
    assert (verdict["ok"], verdict["permanent"]) == (False, False)
    assert verdict["code"] == "store_unavailable"
    assert SECRET not in json.dumps(verdict)


def test_a_trial_is_no_use_and_no_change(api: Api, staff: str, roots: Path) -> None:
    create(api, staff, type="local", data={"root": str(roots)})
    trial(api, staff)
    found = api.get(ONE, token=staff).json()
    assert found["last_used_at"] is None
    assert len(found["changes"]) == 1


# --- local folders


@pytest.mark.parametrize("root", ["..", "/", "/etc", "roots", "{}/../other", "{}x", "{}/link", ""])
def test_a_folder_outside_is_refused(api: Api, staff: str, roots: Path, root: str) -> None:
    (roots / "link").symlink_to("/etc")
    data = {"root": root.format(roots)}
    answer = create(api, staff, type="local", data=data)
    assert_problem(answer, 422, "invalid_credential", "data.root")


def test_the_data_folder_is_refused(
    api: Api, staff: str, configure: Callable[..., None], tmp_path: Path
) -> None:
    configure(local_roots=(tmp_path,))
    for root in (tmp_path, tmp_path / "data", tmp_path / "data" / "staging"):
        answer = create(api, staff, type="local", data={"root": str(root)})
        assert_problem(answer, 422, "invalid_credential", "data.root")


def test_a_folder_inside_is_taken(api: Api, staff: str, roots: Path) -> None:
    for name in ("", "/a/b"):
        key = uuid.uuid4().hex
        answer = create(api, staff, key=key, type="local", data={"root": f"{roots}{name}"})
        assert answer.status_code == 201
        assert answer.json()["fingerprint"] == ""


def test_without_roots_there_is_no_local_storage(api: Api, staff: str, tmp_path: Path) -> None:
    body = assert_problem(
        create(api, staff, type="local", data={"root": str(tmp_path / "pictures")}),
        422,
        "invalid_credential",
        "data.root",
    )
    assert "PIXERVE_LOCAL_ROOTS" in body["detail"]
