"""POST /upload: what is taken, and how it is answered."""

import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobs import pipeline
from jobs.models import Job, Reference
from tests.api.caller import Api, assert_problem, nothing_stored, staged_folders, upload_token
from tests.jobs.making import DOT, HOPPER, SMALL_JOB, picture
from tests.server import EXAMPLE_JOB, Pixerve, make_token

SHA256 = hashlib.sha256(DOT).hexdigest()
Configure = Callable[..., None]


def test_answer_names_the_files_and_where_to_ask(api: Api) -> None:
    answer = api.upload(HOPPER, name="My Photo.jpg", token=upload_token(EXAMPLE_JOB))
    sha256 = hashlib.sha256(HOPPER).hexdigest()
    assert answer.status_code == 202
    job = Job.objects.get()
    assert answer.json() == {
        "hash": sha256,
        "expected_files": [
            f"{sha256}_My-Photo_600_800_.jpg",
            f"{sha256}_My-Photo_300_400_.jpg",
            f"{sha256}_My-Photo_800_800_.webp",
            f"{sha256}_My-Photo_400_400_.webp",
        ],
        "job_id": str(job.uid),
        "status_url": f"http://127.0.0.1:8080/status?hash={sha256}",
    }
    assert (job.state, job.subject, job.source_format) == ("pending", "alice", "jpeg")
    assert (staged_folders()[0] / "source").read_bytes() == HOPPER


def test_the_expected_files_are_the_files(api: Api) -> None:
    job = {
        "keepOriginal": True,
        "directHost": True,
        "subDir": "a/b",
        "formats": {"jpeg": {"sizes": [[20, 10]]}, "webp": {}, "avif": {"sizes": [[8]]}},
    }
    answer = api.upload(HOPPER, name="x.jpg", token=upload_token(job))
    pipeline.wake()
    expected = answer.json()["expected_files"]
    assert [name.split("_x")[1] for name in expected] == [
        "_10_20_.jpg",
        ".webp",
        "_8_8_.avif",
        ".jpg",
    ]
    for name in expected:
        assert api.get(f"/files/a/b/{name}").status_code == 200
    assert api.get(f"/files/a/b/{expected[-1]}").body == HOPPER


def test_status_url_follows_the_public_url(api: Api, configure: Configure) -> None:
    configure(public_url="https://img.example.com")
    assert api.upload().json()["status_url"] == f"https://img.example.com/status?hash={SHA256}"


def test_the_format_is_told_by_the_bytes_alone(api: Api) -> None:
    job = {"keepOriginal": True, "directHost": True}
    answer = api.upload(DOT, name="lie.jpg", token=upload_token(job))
    assert answer.json()["expected_files"] == [f"{SHA256}_lie.png"]


def test_a_batch_answers_for_each_file(api: Api) -> None:
    parts = [
        ("file", "one.png", picture(1)),
        ("file", "page.html", b"<html>" * 100),
        ("file", "two.png", picture(2)),
        ("file", "none.png", b""),
    ]
    answer = api.send(parts, upload_token())
    assert answer.status_code == 202
    one, page, two, none = answer.json()["uploads"]
    for item, name in ((one, "one"), (two, "two")):
        assert set(item) == {"file", "status", "hash", "expected_files", "job_id", "status_url"}
        assert (item["file"], item["status"]) == (f"{name}.png", 202)
        assert item["expected_files"][0].endswith(f"_{name}_30_40_.jpg")
    assert (page["status"], page["code"]) == (415, "unsupported_type")
    assert (none["status"], none["code"]) == (400, "empty_file")
    assert set(page) == {"file", "status", "code", "detail"}
    assert len(staged_folders()) == Job.objects.count() == 2


def test_a_batch_without_any_picture_has_the_first_errors_status(api: Api) -> None:
    answer = api.send([("file", "a", b"no"), ("file", "b", b"")], upload_token())
    assert answer.status_code == 415
    assert [item["status"] for item in answer.json()["uploads"]] == [415, 400]
    assert nothing_stored()


def test_the_same_picture_twice_in_one_batch_is_one_job(api: Api) -> None:
    answer = api.send([("file", "a.png", DOT), ("file", "b.png", DOT)], upload_token())
    assert [item["status"] for item in answer.json()["uploads"]] == [202, 409]
    assert len(staged_folders()) == Job.objects.count() == 1


def test_duplicate_in_flight_is_a_conflict_and_leaves_one(api: Api) -> None:
    api.accepted()
    assert_problem(api.upload(), 409, "duplicate_in_flight", "file")
    assert len(staged_folders()) == Job.objects.count() == 1


def test_after_its_end_the_same_picture_may_come_again(api: Api) -> None:
    first = api.finished()
    assert api.finished() == first
    assert [job.state for job in Job.objects.all()] == ["completed", "completed"]


def test_fifty_at_once_make_one_job(server: Pixerve) -> None:
    slow = {"settings": {"speed": 0}, "sizes": [[side] for side in range(60, 100)]}
    token = make_token({"formats": {"avif": slow}, "directHost": True}, subject="fifty")
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: server.upload(HOPPER, token), range(50)))
    assert sorted(answer.status for answer in answers) == [202] + [409] * 49
    bodies = [answer.json() for answer in answers]
    assert {body.get("code") for body in bodies} == {None, "duplicate_in_flight"}
    reference = next(body["hash"] for body in bodies if "hash" in body)
    assert server.wait_end(reference, token)["state"] == "completed"


def test_each_subject_gets_a_reference_of_its_own(api: Api) -> None:
    hashes = [api.accepted(token=upload_token(subject=name)) for name in ("ann", "bob", "cid")]
    assert hashes == [SHA256, f"{SHA256}_1", f"{SHA256}_2"]
    named = dict(Reference.objects.values_list("subject", "name"))
    assert [named[who] for who in ("ann", "bob", "cid")] == hashes


def test_a_subject_keeps_its_reference(api: Api) -> None:
    bobs = upload_token(subject="bob")
    api.finished(token=upload_token(subject="ann"))
    assert api.finished(token=bobs) == api.accepted(token=bobs) == f"{SHA256}_1"


def test_tenants_in_one_folder_never_overwrite_each_other(api: Api) -> None:
    job = {**SMALL_JOB, "subDir": "shared"}
    answers = [
        api.upload(HOPPER, name="p.jpg", token=upload_token(job, subject=who)).json()
        for who in ("ann", "bob")
    ]
    pipeline.wake()
    pipeline.wake()
    names = [answer["expected_files"][0] for answer in answers]
    assert len(set(names)) == 2
    assert all(api.get(f"/files/shared/{name}").status_code == 200 for name in names)


def test_no_file_name_leads_to_anothers_outputs(api: Api) -> None:
    """`{hash}` with `1_p` and `{hash}_1` with `p` would be one name."""
    ann = api.upload(HOPPER, name="1_p.jpg", token=upload_token(subject="ann")).json()
    bob = api.upload(HOPPER, name="p.jpg", token=upload_token(subject="bob")).json()
    assert bob["hash"] == f"{ann['hash']}_1"
    assert not set(ann["expected_files"]) & set(bob["expected_files"])


# Names

HOSTILE_NAMES = {
    "../../etc/passwd": "passwd",
    "..\\..\\boot.ini": "boot",
    "/etc/cron.d/x.jpg": "x",
    "a" * 800 + ".jpg": "a" * 40,
    "\u202egpj.exe": "gpj",
    "<script>alert(1).png": "script-alert-1",
    "<script>x</script>.png": "script",
    "a\x00b.jpg": "b",
    "-rf.png": "rf",
    ".htaccess": "htaccess",
    "日本語.png": "image",
    "ﬁancée ½.png": "fiancee",
    "con.png": "con",
    "%2e%2e%2fpasswd": "2e-2e-2fpasswd",
    "{0.__class__}.png": "0-__class",
    "$(touch pwned).png": "touch-pwned",
    "photo.tar.gz": "photo-tar",
}


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_become_plain_stems(api: Api, name: str) -> None:
    answer = api.upload(HOPPER, name=name.replace('"', "%22"))
    assert answer.status_code == 202, answer.content
    expected = answer.json()["expected_files"][0]
    assert re.fullmatch(r"[0-9a-f]{64}_[A-Za-z0-9_-]{1,40}_30_40_\.jpg", expected)
    assert HOSTILE_NAMES[name] in expected
    job = Job.objects.get()
    assert len(job.upload_name) <= 255
    pipeline.wake()
    assert api.get(f"/files/{expected}").status_code == 200


def test_a_name_beyond_any_header_limit(api: Api) -> None:
    assert_problem(api.upload(name="a" * 10_000 + ".jpg"), 400, "malformed_request")
    assert nothing_stored()


@pytest.mark.parametrize("name", ["", ".", "..", "/", "a/.."])
def test_names_that_name_nothing_bring_no_file(api: Api, name: str) -> None:
    assert_problem(api.upload(DOT, name=name), 400, "file_missing", "file")
    assert nothing_stored()
