"""`"private": true`: hosted files that only a signed link gives, and only until its end."""

import time
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.conf import settings

from jobs import links, outcomes, pipeline
from jobs.models import HostedFile, Job
from tests.api.caller import Api, assert_problem, upload_token
from tests.jobs.conftest import configure
from tests.jobs.making import SMALL_JOB

__all__ = ["configure"]
PRIVATE = {**SMALL_JOB, "private": True}
pytestmark = pytest.mark.django_db(transaction=True)


def link_of(api: Api, reference: str, token: str | None) -> str | None:
    found: str | None = api.get(f"/status?hash={reference}", token=token).json()["files"][0]["url"]
    return found


def local(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def finished(api: Api) -> tuple[str, str]:
    """The link of a private file, and its bare path."""
    token = upload_token(PRIVATE)
    link = link_of(api, api.finished(token=token), token)
    assert link
    return local(link), urlsplit(link).path


def test_the_owner_gets_a_link_that_works(api: Api) -> None:
    link, path = finished(api)
    answer = api.get(link)
    assert answer.status_code == 200
    assert (
        answer.body
        == (Path(settings.PIXERVE.serve_dir) / path.removeprefix("/files/")).read_bytes()
    )
    assert answer["Cache-Control"] == "private, no-cache"
    assert api.call("HEAD", link).status_code == 200
    again = api.get(link, HTTP_IF_NONE_MATCH=answer["ETag"])
    assert (again.status_code, again["Cache-Control"]) == (304, "private, no-cache")


def test_without_a_good_signature_there_is_nothing(api: Api) -> None:
    link, path = finished(api)
    query = {name: each[0] for name, each in parse_qs(urlsplit(link).query).items()}
    etag = api.get(link)["ETag"]
    later = str(int(query["expires"]) + 1)
    for wrong in (
        {},
        {"expires": query["expires"]},
        {"signature": query["signature"]},
        {**query, "expires": later},
        {**query, "expires": ""},
        {**query, "signature": query["signature"][:-1] + "é"},
        {**query, "signature": links._signature("another", query["expires"])},
    ):
        for method in ("GET", "HEAD"):
            answer = api.call(method, f"{path}?{urlencode(wrong)}", HTTP_IF_NONE_MATCH=etag)
            assert answer.status_code == 403
        assert_problem(api.get(f"{path}?{urlencode(wrong)}"), 403, "bad_link")


def test_past_its_end(api: Api) -> None:
    _, path = finished(api)
    expires = str(int(time.time()) - 1)
    signature = links._signature(path.removeprefix("/files/"), expires)
    old = urlencode({"expires": expires, "signature": signature})
    assert_problem(api.get(f"{path}?{old}"), 403, "link_expired")


def test_only_owners_get_links(api: Api, staff: str, configure) -> None:  # type: ignore[no-untyped-def]
    configure(anonymous_status="full")
    token = upload_token(PRIVATE)
    reference = api.finished(token=token)
    assert link_of(api, reference, staff)
    assert link_of(api, reference, None) is None


def test_a_file_is_private_before_it_appears(api: Api) -> None:
    """Between the rename and the commit of the job a reader must not get it either."""
    api.accepted(token=upload_token(PRIVATE))
    job = Job.objects.get()
    outcomes.announce(job, ["x.jpg"], private=True)
    path = Path(settings.PIXERVE.serve_dir) / "x.jpg"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"bytes")
    assert_problem(api.get("/files/x.jpg"), 403, "bad_link")
    assert_problem(api.get("/files/x.jpg"), 403, "bad_link")  # its row is made by now
    assert api.get("/files/x.jpg" + links.query("x.jpg")).body == b"bytes"


def test_the_newest_job_decides(api: Api) -> None:
    """A file that a public job made again is public."""
    link, path = finished(api)
    api.accepted(token=upload_token(SMALL_JOB))
    assert api.get(path).status_code == 403
    pipeline.wake()
    assert api.get(path).status_code == 200
    assert not HostedFile.objects.get().private
    assert api.get(link).status_code == 200
