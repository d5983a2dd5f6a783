"""POST /upload: every way to be refused, and that nothing stays behind."""

from collections.abc import Callable

import pytest
from pytest_django import Settings

from jobs.models import Reference
from tests.api.caller import Api, assert_problem, nothing_stored, upload_token
from tests.jobs.making import DOT, HOPPER, SMALL_JOB, picture
from tests.server import IMAGES

Configure = Callable[..., None]


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
