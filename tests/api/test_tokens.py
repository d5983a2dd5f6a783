"""POST /tokens: a signed-in user gets upload tokens, in his own name only."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest
from django.conf import settings as django_settings
from pytest_django import Settings

from jobs import tokens
from tests.api.caller import Api, assert_problem, upload_token
from tests.jobs.making import SMALL_JOB

Configure = Callable[..., None]


def ask(api: Api, token: str | None, **body: Any) -> Any:
    return api.post_json("/tokens", {"job": SMALL_JOB, **body}, token=token)


def test_a_token_that_uploads(api: Api, plain: str) -> None:
    answer = ask(api, plain)
    assert answer.status_code == 201
    assert set(answer.json()) == {"token", "expires_in"}
    assert answer.json()["expires_in"] == 3600
    claims = tokens.verify(answer.json()["token"])
    assert (claims.subject, claims.job) == ("paula", SMALL_JOB)
    assert abs(claims.expires - time.time() - 3600) < 60
    assert api.upload(token=answer.json()["token"]).status_code == 202


def test_a_lifetime_of_ones_own(api: Api, plain: str) -> None:
    answer = ask(api, plain, lifetime=60)
    assert answer.json()["expires_in"] == 60
    claims = tokens.verify(answer.json()["token"])
    assert abs(claims.expires - time.time() - 60) < 30


def test_issuer_and_audience_are_ours(api: Api, plain: str, configure: Configure) -> None:
    configure(jwt_issuer="https://me.example", jwt_audience=("a", "b"))
    token = ask(api, plain).json()["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["iss"], claims["aud"]) == ("https://me.example", "a")
    assert tokens.verify(token).subject == "paula"


@pytest.mark.parametrize("field", ["sub", "subject", "exp", "iat", "iss", "aud", "user"])
def test_the_subject_is_not_for_the_caller_to_choose(api: Api, plain: str, field: str) -> None:
    assert_problem(ask(api, plain, **{field: "victim"}), 400, "invalid_input", field)


@pytest.mark.parametrize("token_kind", ["none", "upload", "rubbish"])
def test_only_for_users(api: Api, token_kind: str) -> None:
    token = {"none": None, "upload": upload_token(), "rubbish": "a.b.c"}[token_kind]
    code = "not_authenticated" if token is None else "invalid_token"
    assert_problem(ask(api, token), 401, code)


@pytest.mark.parametrize("lifetime", [0, -1, 7 * 86400 + 1, 10**30, "x", True, 1.5, None, [60]])
def test_lifetimes_that_are_none(api: Api, plain: str, lifetime: object) -> None:
    assert_problem(ask(api, plain, lifetime=lifetime), 400, "invalid_input", "lifetime")


def test_the_longest_lifetime(api: Api, plain: str, configure: Configure) -> None:
    configure(jwt_max_lifetime=600)
    assert ask(api, plain, lifetime=600).status_code == 201
    assert_problem(ask(api, plain, lifetime=601), 400, "invalid_input", "lifetime")


@pytest.mark.parametrize(
    ("job", "field"),
    [
        ({}, "job.directHost"),
        ({"directHost": True, "formats": {"bmp": {}}}, "job.formats.bmp"),
        ({**SMALL_JOB, "priority": 1.0}, "job.priority"),
        ({**SMALL_JOB, "unknown": 1}, "job.unknown"),
        ({**SMALL_JOB, "storageKeys": {"s3": "x"}}, "job.storageKeys.s3"),
    ],
)
def test_a_job_that_an_upload_would_refuse(
    api: Api, plain: str, job: dict[str, Any], field: str
) -> None:
    answer = ask(api, plain, job=job)
    assert answer.status_code == 422
    assert answer.json()["field"] == field


@pytest.mark.parametrize("job", [None, [], "x", 5, True])
def test_a_job_that_is_no_object(api: Api, plain: str, job: object) -> None:
    assert_problem(ask(api, plain, job=job), 400, "invalid_input", "job")


def test_without_a_job(api: Api, plain: str) -> None:
    assert_problem(api.post_json("/tokens", {}, token=plain), 400, "invalid_input", "job")


def test_a_job_too_long_for_a_token_is_refused_rather_than_issued(api: Api, plain: str) -> None:
    job = {
        **SMALL_JOB,
        "completionCallback": "https://example.com/hook",
        "callbackHeaders": {"X-A": "\xff" * 4000},
    }
    assert_problem(ask(api, plain, job=job), 422, "token_too_long", "job")


def test_where_only_public_keys_are_known(api: Api, plain: str, settings: Settings) -> None:
    settings.KEYS = replace(django_settings.KEYS, jwt_secret=None)
    assert_problem(ask(api, plain), 503, "cannot_sign")
