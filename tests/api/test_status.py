"""GET /status, and the rules of looking a job up by its hash."""

import hashlib
import re
from collections.abc import Callable
from datetime import datetime

import pytest

from jobs.models import Job
from tests.api.caller import Api, assert_problem, upload_token
from tests.jobs.making import DOT, HOPPER, TRUNCATED, make_job, put_in_state

SHA256 = hashlib.sha256(DOT).hexdigest()
Configure = Callable[..., None]
PUBLIC = {
    "hash",
    "state",
    "status",
    "stage",
    "job_id",
    "created_at",
    "updated_at",
    "finished_at",
    "progress",
}
OWN = PUBLIC | {"warnings", "timings", "attempts", "files", "deliveries"}
ALICE = {"subject": "alice"}


def test_pending_for_anyone(api: Api) -> None:
    reference = api.accepted()
    answer = api.get(f"/status?hash={reference}")
    shown = answer.json()
    assert answer.status_code == 200
    assert set(shown) == PUBLIC
    assert shown["hash"] == SHA256
    assert shown["state"] == shown["status"] == "pending"
    assert shown["job_id"] == str(Job.objects.get().uid)
    assert shown["progress"] == {"done": 0, "total": 1}
    assert shown["stage"] is shown["finished_at"] is None


def test_times_are_rfc_3339_in_utc(api: Api) -> None:
    shown = api.get(f"/status?hash={api.finished()}").json()
    for name in ("created_at", "updated_at", "finished_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", shown[name])
        datetime.fromisoformat(shown[name])


def test_completed_for_its_owner(api: Api) -> None:
    reference = api.finished(HOPPER, name="p.jpg")
    shown = api.get(f"/status?hash={reference}", token=upload_token(None)).json()
    assert set(shown) == OWN
    assert shown["state"] == "completed"
    assert shown["progress"] == {"done": 1, "total": 1}
    assert shown["attempts"] == 1
    (file,) = shown["files"]
    content = api.get(f"/files/{file['name']}").body
    assert file == {
        "name": f"{reference}_p_30_40_.jpg",
        "format": "jpg",
        "width": 30,
        "height": 30,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "superseded": False,
        "url": f"http://127.0.0.1:8080/files/{reference}_p_30_40_.jpg",
    }


def test_failed_says_why_to_its_owner_and_how_to_others(api: Api) -> None:
    reference = api.finished(TRUNCATED)
    own = api.get(f"/status?hash={reference}", token=upload_token(None)).json()
    anyone = api.get(f"/status?hash={reference}").json()
    assert own["state"] == anyone["state"] == "failed"
    assert own["error"]["code"] == anyone["error"] == "damaged_picture"
    assert set(own["error"]) == {"code", "message"}
    assert set(anyone) == PUBLIC | {"error"}


@pytest.mark.parametrize("stage", ["converting", "delivering"])
def test_processing_tells_its_stage(api: Api, stage: str) -> None:
    put_in_state(make_job(), "processing", stage=stage)
    shown = api.get(f"/status?hash={SHA256}").json()
    assert (shown["state"], shown["stage"]) == ("processing", stage)


def test_unknown(api: Api) -> None:
    assert_problem(api.get(f"/status?hash={'0' * 64}"), 404, "unknown_hash", "hash")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "x",
        "0" * 63,
        "0" * 65,
        "A" * 64,
        "0" * 64 + "_",
        "0" * 64 + "_0",
        "0" * 64 + "_01",
        "0" * 64 + "_1_1",
        "0" * 64 + "_99999999999",
        "0" * 64 + "%00",
        "0" * 64 + "%0A",
        "../../etc/passwd",
        "'%20OR%201=1--",
        "%ED%A0%80",
        "0" * 4000,
    ],
)
@pytest.mark.parametrize("path", ["/status", "/success", "/failures"])
def test_what_is_no_hash(api: Api, path: str, given: str) -> None:
    assert_problem(api.get(f"{path}?hash={given}"), 400, "invalid_hash", "hash")


def test_without_a_hash(api: Api) -> None:
    assert_problem(api.get("/status"), 400, "invalid_hash", "hash")


def test_a_bad_token_is_refused_rather_than_ignored(api: Api) -> None:
    reference = api.accepted()
    assert_problem(api.get(f"/status?hash={reference}", token="x.y.z"), 401, "invalid_token")


def test_a_token_finds_its_own_by_the_bare_checksum(api: Api) -> None:
    make_job("ann")
    bob = make_job("bob")
    shown = api.get(f"/status?hash={SHA256}", token=upload_token(None, subject="bob")).json()
    assert (shown["hash"], shown["job_id"]) == (f"{SHA256}_1", str(bob.uid))
    again = api.get(f"/status?hash={SHA256}_1", token=upload_token(None, subject="bob")).json()
    assert again == shown


def test_a_token_finds_its_newest(api: Api) -> None:
    old = put_in_state(make_job(), "failed")
    new = make_job()
    shown = api.get(f"/status?hash={SHA256}", token=upload_token(None)).json()
    assert shown["job_id"] == str(new.uid) != str(old.uid)


def test_a_token_does_not_find_others(api: Api) -> None:
    make_job("ann")
    make_job("bob")
    for reference in (SHA256, f"{SHA256}_1"):
        answer = api.get(f"/status?hash={reference}", token=upload_token(None, subject="eve"))
        assert_problem(answer, 404, "unknown_hash")
    theirs = api.get(f"/status?hash={SHA256}_1", token=upload_token(None, subject="ann"))
    assert_problem(theirs, 404, "unknown_hash")


def test_without_a_token_only_the_exact_reference_counts(api: Api) -> None:
    ann, bob = make_job("ann"), make_job("bob")
    assert api.get(f"/status?hash={SHA256}").json()["job_id"] == str(ann.uid)
    assert api.get(f"/status?hash={SHA256}_1").json()["job_id"] == str(bob.uid)
    assert_problem(api.get(f"/status?hash={SHA256}_2"), 404, "unknown_hash")


def test_staff_see_everything_by_the_exact_reference(api: Api, staff: str) -> None:
    make_job("ann")
    bob = make_job("bob")
    shown = api.get(f"/status?hash={SHA256}_1", token=staff).json()
    assert set(shown) == OWN
    assert shown["job_id"] == str(bob.uid)


def test_a_user_who_is_not_staff_sees_what_anyone_sees(api: Api, plain: str) -> None:
    make_job("ann")
    assert set(api.get(f"/status?hash={SHA256}", token=plain).json()) == PUBLIC


def test_anonymous_full(api: Api, configure: Configure) -> None:
    configure(anonymous_status="full")
    assert set(api.get(f"/status?hash={api.accepted()}").json()) == OWN


@pytest.mark.parametrize("path", ["/status", "/success", "/failures"])
def test_anonymous_off(api: Api, configure: Configure, path: str) -> None:
    configure(anonymous_status="off")
    reference = api.finished()
    assert_problem(api.get(f"{path}?hash={reference}"), 401, "not_authenticated")
    assert_problem(api.get(f"{path}?hash={'0' * 64}"), 401, "not_authenticated")
    own = api.get(f"{path}?hash={reference}", token=upload_token(None))
    assert own.status_code == 200


@pytest.mark.parametrize("path", ["/status", "/success", "/failures"])
def test_off_is_off_for_users_who_are_not_staff(
    api: Api, configure: Configure, plain: str, path: str
) -> None:
    configure(anonymous_status="off")
    reference = api.finished()
    assert_problem(api.get(f"{path}?hash={reference}", token=plain), 403, "staff_only")


def test_a_replaced_file_is_marked_and_has_no_url(api: Api) -> None:
    reference = api.finished()
    first = Job.objects.get()
    api.finished()
    shown = api.get(f"/status?hash={reference}", token=upload_token(None)).json()
    assert [file["superseded"] for file in shown["files"]] == [False]
    assert [made.superseded for made in first.renditions.all()] == [True]


def test_head_and_other_methods(api: Api) -> None:
    reference = api.accepted()
    for method in ("POST", "PUT", "DELETE"):
        assert_problem(api.call(method, f"/status?hash={reference}"), 405, "method_not_allowed")
    assert api.call("OPTIONS", "/status").status_code == 200
