"""Storage keys at upload, and what /status and staff's /readyz tell of deliveries."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from credentials import service
from jobs import pipeline
from jobs.models import Delivery, StorageHealth
from tests.api.caller import Api, assert_problem, nothing_stored, upload_token
from tests.jobs.making import SMALL_JOB

pytestmark = pytest.mark.django_db(transaction=True)
FORMATS = SMALL_JOB["formats"]
CANARY = "canary-5b1e-secret"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, configure: Callable[..., None]) -> Path:
    root = tmp_path / "roots"
    root.mkdir()
    configure(local_roots=(root,), delivery_schedule=(0,))
    return root


def to(**keys: Any) -> dict[str, Any]:
    return {"formats": FORMATS, "storageKeys": keys}


def folder(root: Path, key: str, owner: str = "", **data: Any) -> None:
    data = {"root": str(root), **data}
    service.create(key=key, kind="local", data=data, owner=owner, who="boss")


def test_unknown_and_foreign_keys_get_the_same_answer(api: Api, root: Path) -> None:
    folder(root, "mine", owner="alice")
    folder(root, "theirs", owner="bob")
    answers = []
    for key in ("theirs", "nobody"):
        answer = api.upload(token=upload_token(to(local=["mine", key])))
        body = assert_problem(answer, 422, "unknown_storage_key", "job.storageKeys.local")
        answers.append(body["detail"].replace(key, "?"))
    assert answers[0] == answers[1]
    assert nothing_stored()
    assert_problem(api.upload(token=upload_token(to(s3="mine"))), 422, "unknown_storage_key")


def test_status_shows_each_file_at_each_storage(api: Api, root: Path) -> None:
    folder(root, "good", public_url="https://cdn.example")
    folder(root, "plain")
    token = upload_token(to(local=["good", "plain"]))
    reference = api.finished(token=token)
    shown = api.get(f"/status?hash={reference}", token=token).json()
    assert shown["state"] == "completed"
    good, plain = shown["deliveries"]
    name = shown["files"][0]["name"]
    assert (good["name"], good["type"], good["storage_key"], good["state"]) == (
        name,
        "local",
        "good",
        "delivered",
    )
    assert good["url"] == f"https://cdn.example/{name}"
    assert good["checksum"] == f"sha256:{shown['files'][0]['sha256']}"
    assert good["bytes"] == shown["files"][0]["bytes"]
    assert (good["attempts"], good["next_attempt_at"]) == (1, None)
    assert good["delivered_at"]
    assert (plain["state"], plain["url"]) == ("delivered", None)
    anonymous = api.get(f"/status?hash={reference}").json()
    assert "deliveries" not in anonymous


def test_direct_hosting_alone_has_none(api: Api) -> None:
    token = upload_token()
    assert (
        api.get(f"/status?hash={api.finished(token=token)}", token=token).json()["deliveries"] == []
    )


def test_private_buckets_are_signed_for_the_owner_only(
    api: Api, configure: Callable[..., None]
) -> None:
    configure(anonymous_status="full")
    data = {
        "bucket": "pictures",
        "access_key": "AKIA1",
        "secret_key": CANARY,
        "endpoint": "http://127.0.0.1:9",
    }
    service.create(key="bucket", kind="s3", data=data, owner="", who="boss")
    token = upload_token(to(s3="bucket"))
    reference = api.finished(token=token)
    Delivery.objects.update(state="delivered", url="http://127.0.0.1:9/pictures/x")
    shown = api.get(f"/status?hash={reference}", token=token)
    [delivery] = shown.json()["deliveries"]
    assert "X-Amz-Signature=" in delivery["url"]
    assert "X-Amz-Expires=3600" in delivery["url"]
    assert CANARY not in shown.content.decode()
    [delivery] = api.get(f"/status?hash={reference}").json()["deliveries"]
    assert delivery["url"] is None
    service.change("bucket", data={"public_url": "https://cdn.example"}, who="boss")
    [delivery] = api.get(f"/status?hash={reference}").json()["deliveries"]
    assert delivery["url"] == "http://127.0.0.1:9/pictures/x"


def test_staff_see_how_the_storages_are(api: Api, root: Path, staff: str) -> None:
    folder(root, "good")
    token = upload_token(to(local="good"))
    api.finished(token=token)
    StorageHealth.objects.create(
        pk="bad", failures=9, opened_at=2e9, last_error_code="timeout", last_error_message="slow"
    )
    answer = api.get("/readyz", token=staff)
    assert answer.status_code == 200
    found = answer.json()["storages"]
    assert found["good"]["breaker"] == "closed"
    assert found["good"]["last_success"]
    assert (found["bad"]["breaker"], found["bad"]["failures"]) == ("open", 9)
    for who in (None, token):
        assert "storages" not in api.get("/readyz", token=who).json()


def test_a_failure_names_key_and_reason_for_the_owner(api: Api, root: Path) -> None:
    folder(root, "gone")
    token = upload_token(to(local="gone"))
    reference = api.accepted(token=token)
    Path(root).rmdir()
    Path(root).write_text("in the way")
    pipeline.wake()
    shown = api.get(f"/status?hash={reference}", token=token).json()
    assert (shown["state"], shown["error"]["code"]) == ("failed", "delivery_failed")
    assert shown["error"]["message"].startswith("local gone: ")
    [delivery] = shown["deliveries"]
    assert (delivery["state"], delivery["url"]) == ("failed", None)
    assert delivery["error"]["code"]
