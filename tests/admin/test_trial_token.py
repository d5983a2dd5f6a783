"""The form that makes a token to try things with."""

import json
from html import unescape
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from jobs import tokens
from jobs.admin.trial_token import EXAMPLE_JOB, lifetimes
from jobs.spec import parse

PAGE = "/admin/jobs/job/trial-token/"


def send(client: Client, **fields: Any) -> Any:
    given = {"subject": "trial", "lifetime": "3600", "job": EXAMPLE_JOB} | fields
    answer = client.post(PAGE, given)
    assert answer.status_code == 200
    return answer


def job(**changes: Any) -> str:
    return json.dumps(json.loads(EXAMPLE_JOB) | changes)


def test_the_example_is_filled_in_and_works(staff: Client) -> None:
    page = unescape(staff.get(PAGE).content.decode())
    assert EXAMPLE_JOB in page
    parse(json.loads(EXAMPLE_JOB))


def test_a_token_that_holds_with_a_ready_command(staff: Client) -> None:
    answer = send(staff, subject="tenant-7", lifetime=str(12 * 3600))
    claims = tokens.verify(answer.context["token"])
    assert claims.subject == "tenant-7"
    assert claims.job == json.loads(EXAMPLE_JOB)
    page = unescape(answer.content.decode())
    assert answer.context["token"] in page
    assert f"-F file=@picture.jpg {settings.PIXERVE.base_url}/upload" in page
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"job": "{"}, "job", "This is not JSON"),
        ({"job": "[" * 16_000}, "job", "This is not JSON"),
        ({"job": "[]"}, "job", "job:"),
        ({"job": job(colour="red")}, "job", "job.colour:"),
        (
            {"job": job(formats={"jpg": {"sizes": [[0]]}})},
            "job",
            "job.formats.jpg.sizes[0]: a side is a whole number",
        ),
        ({"job": job(formats={"bmp": {}})}, "job", "unknown format"),
        ({"job": job(storageKeys={"s3": "nobody"})}, "job", "job.storageKeys.s3:"),
        ({"job": "x" * 20_000}, "job", "at most 16384"),
        ({"job": "\u0001"}, "job", "This is not JSON"),
        ({"job": job(subDir="x" * 300)}, "job", "job.subDir:"),
        ({"subject": ""}, "subject", "required"),
        ({"subject": "a\u202eb"}, "subject", "printable"),
        ({"subject": "x" * 256}, "subject", "at most 255"),
        ({"lifetime": "999999999"}, "lifetime", "valid choice"),
    ],
)
def test_errors_name_the_field(
    staff: Client, fields: dict[str, str], field: str, words: str
) -> None:
    answer = send(staff, **fields)
    assert answer.context["token"] is None
    [(wrong, messages)] = answer.context["form"].errors.items()
    assert wrong == field
    assert words in " ".join(messages)
    assert words in unescape(answer.content.decode())


def test_what_makes_the_token_too_long_is_said(staff: Client) -> None:
    headers = {f"X-{number}": "x" * 990 for number in range(8)}
    long = job(callbackHeaders=headers, completionCallback=f"https://a.example/{'x' * 1900}")
    answer = send(staff, subject="\N{WATER WAVE}" * 255, job=long)
    assert answer.context["token"] is None
    assert answer.context["form"].errors == {"job": ["`job` does not fit into a token"]}


def test_every_wrong_field_is_named(staff: Client) -> None:
    answer = send(staff, job=job(colour="red", priority="high"))
    messages = " ".join(answer.context["form"].errors["job"])
    assert "job.colour:" in messages
    assert "job.priority:" in messages


def test_hostile_input_comes_back_as_text(staff: Client) -> None:
    hostile = "</textarea><script>alert(1)</script>"
    for fields in ({"job": hostile}, {"subject": hostile}, {"job": job(**{hostile: 1})}):
        assert hostile not in send(staff, **fields).content.decode()


def test_no_token_where_only_public_keys_are_known(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "KEYS", _PublicOnly())
    answer = send(staff)
    assert answer.context["token"] is None
    assert "No token can be made here" in unescape(answer.content.decode())


class _PublicOnly:
    jwt_secret = None
    jwt_keys = None


def test_a_short_longest_lifetime_is_offered_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    short = settings.PIXERVE.model_copy(update={"jwt_max_lifetime": 600})
    monkeypatch.setattr(settings, "PIXERVE", short)
    assert lifetimes() == [(600, "600 seconds")]
