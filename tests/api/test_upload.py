"""POST /upload: what is taken, how it is answered, and every way to be refused."""

import hashlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from jobs import pipeline
from jobs.models import Job, Reference
from tests.api.caller import Api, assert_problem, staged_folders, upload_token
from tests.jobs.making import DOT, HOPPER, SMALL_JOB, picture
from tests.server import EXAMPLE_JOB, IMAGES, Pixerve, make_token

SHA256 = hashlib.sha256(DOT).hexdigest()
Configure = Callable[..., None]


def nothing_stored() -> bool:
    return not Job.objects.exists() and not staged_folders()


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
    token = make_token(SMALL_JOB, subject="fifty")
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: server.upload(HOPPER, token), range(50)))
    statuses = sorted(answer.status for answer in answers)
    # One that came after the first job's end may rightly start another.
    assert set(statuses) == {202, 409}
    bodies = [answer.json() for answer in answers]
    refused = [body for body in bodies if "code" in body]
    assert {body["code"] for body in refused} == {"duplicate_in_flight"}
    assert len(refused) >= 40
    references = {body["hash"] for body in bodies if "hash" in body}
    assert len(references) == 1
    server.wait_end(references.pop(), token)


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


# Refusals


def test_without_a_token(api: Api) -> None:
    assert_problem(api.send([("file", "a.png", DOT)]), 401, "not_authenticated")
    assert nothing_stored()


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "Bearer ", "Token x", "Bearer é"])
def test_a_header_that_is_no_bearer_token(api: Api, header: str) -> None:
    answer = api.send([("file", "a.png", DOT)], HTTP_AUTHORIZATION=header)
    assert_problem(answer, 401, "invalid_token")


def test_a_token_without_a_job(api: Api) -> None:
    assert_problem(api.upload(token=upload_token(None)), 422, "job_missing", "job")
    assert nothing_stored()


def test_a_bad_spec_is_refused_before_the_body_is_read(api: Api) -> None:
    answer = api.call(
        "POST",
        "/upload",
        token=upload_token({"directHost": True}),
        data=b"not a form at all",
        content_type="multipart/form-data; boundary=x",
    )
    assert_problem(answer, 422, "invalid_spec", "job.formats")


def test_storage_keys_that_nobody_registered(api: Api) -> None:
    job = {**SMALL_JOB, "storageKeys": {"s3": "not-there"}}
    answer = api.upload(token=upload_token(job))
    assert_problem(answer, 422, "unknown_storage_key", "job.storageKeys.s3")
    assert nothing_stored()


def test_original_and_native_size_would_share_a_name(api: Api) -> None:
    job = {"keepOriginal": True, "formats": {"png": {}}, "directHost": True}
    answer = api.upload(DOT, token=upload_token(job))
    assert_problem(answer, 422, "name_taken", "job.keepOriginal")
    assert nothing_stored()
    assert not Reference.objects.exists()
    assert api.upload(HOPPER, token=upload_token(job)).status_code == 202


@pytest.mark.parametrize("content", [b"\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"GIF8"])
def test_what_is_no_picture(api: Api, content: bytes) -> None:
    assert_problem(api.upload(content, name="a.jpg"), 415, "unsupported_type", "file")
    assert nothing_stored()


@pytest.mark.parametrize("name", ["imp_test1.svg", "thu_image_invalid.jpg", "pst_xs1n0g01.png"])
def test_pictures_that_the_door_can_tell(api: Api, name: str) -> None:
    answer = api.upload((IMAGES / name).read_bytes(), name="a.jpg")
    assert_problem(answer, 415, "unsupported_type", "file")


def test_an_empty_file(api: Api) -> None:
    assert_problem(api.upload(b""), 400, "empty_file", "file")
    assert nothing_stored()


def test_a_file_over_the_limit(api: Api, configure: Configure) -> None:
    configure(max_upload_bytes=1024)
    assert_problem(api.upload(DOT + bytes(1024)), 413, "file_too_large", "file")
    assert nothing_stored()
    exact = DOT + bytes(1024 - len(DOT))
    assert api.upload(exact).status_code == 202


def test_too_many_files(api: Api, settings: Settings, configure: Configure) -> None:
    configure(max_files=2)
    settings.DATA_UPLOAD_MAX_NUMBER_FILES = 2
    parts = [("file", f"{number}.png", picture(number)) for number in range(3)]
    assert_problem(api.send(parts, upload_token()), 400, "too_many_files", "file")
    assert nothing_stored()
    assert api.send(parts[:2], upload_token()).status_code == 202


def test_no_file_at_all(api: Api) -> None:
    assert_problem(api.send([], upload_token()), 400, "file_missing", "file")


def test_a_plain_field_named_file_is_no_file(api: Api) -> None:
    answer = api.client.post(
        "/upload", {"file": "text"}, HTTP_AUTHORIZATION=f"Bearer {upload_token()}"
    )
    assert_problem(answer, 400, "file_missing", "file")


def test_a_picture_in_another_field(api: Api) -> None:
    parts = [("file", "a.png", DOT), ("avatar", "b.png", picture(1))]
    assert_problem(api.send(parts, upload_token()), 400, "unexpected_field", "file")
    assert nothing_stored()


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "image/png", "text/plain", "application/x-www-form-urlencoded", ""],
)
def test_a_body_that_is_no_multipart_form(api: Api, content_type: str) -> None:
    answer = api.call("POST", "/upload", token=upload_token(), data=DOT, content_type=content_type)
    assert_problem(answer, 400, "not_multipart")


MALFORMED: dict[str, tuple[bytes, str]] = {
    "no boundary": (b"--x\r\n\r\n--x--\r\n", "multipart/form-data"),
    "empty boundary": (b"--\r\n", "multipart/form-data; boundary="),
    "boundary of 300 bytes": (b"--x\r\n", f"multipart/form-data; boundary={'b' * 300}"),
    "other boundary": (b"--y\r\nabc\r\n--y--\r\n", "multipart/form-data; boundary=x"),
    "not a form": (b"\x00\xff" * 500, "multipart/form-data; boundary=x"),
    "bad base64": (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\nA\r\n--x--\r\n",
        "multipart/form-data; boundary=x",
    ),
    "10 000 fields": (
        b"".join(
            b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\nv\r\n' % number
            for number in range(10_000)
        )
        + b"--x--\r\n",
        "multipart/form-data; boundary=x",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_forms(api: Api, name: str) -> None:
    body, content_type = MALFORMED[name]
    answer = api.call("POST", "/upload", token=upload_token(), data=body, content_type=content_type)
    assert answer.status_code == 400, answer.content
    assert answer.json()["code"] in {"malformed_request", "file_missing"}
    assert answer["Content-Type"] == "application/problem+json"
    assert nothing_stored()


def test_a_huge_plain_field(api: Api) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\n'
        + b"n" * (2 * 2**20)
        + b"\r\n--x--\r\n"
    )
    answer = api.call(
        "POST",
        "/upload",
        token=upload_token(),
        data=body,
        content_type="multipart/form-data; boundary=x",
    )
    assert_problem(answer, 413, "body_too_large")


@pytest.mark.parametrize("whole_files", [0, 1, 2])
def test_a_form_that_ends_in_the_middle_of_a_file(api: Api, whole_files: int) -> None:
    body = b""
    for number in range(whole_files + 1):
        body += b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        body += picture(number) + b"\r\n"
    answer = api.call(
        "POST",
        "/upload",
        token=upload_token(),
        data=body[:-8],
        content_type="multipart/form-data; boundary=x",
    )
    assert_problem(answer, 400, "malformed_request")
    assert nothing_stored()


def test_other_methods(api: Api) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        answer = api.call(method, "/upload", token=upload_token())
        assert_problem(answer, 405, "method_not_allowed")
        assert "POST" in answer["Allow"]


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


# A token in the form


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
