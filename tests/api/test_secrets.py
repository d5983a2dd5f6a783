"""No answer, log record or stored record ever shows a secret."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection

from jobs import pipeline
from jobs.models import Callback, Failure, Job, Success
from tests.api.caller import Api, upload_secret, upload_token
from tests.api.conftest import PASSWORD
from tests.jobs.making import HOPPER, SMALL_JOB, TRUNCATED

HUSH = "hush-hush-header-value"
JOB: dict[str, Any] = {
    **SMALL_JOB,
    "completionCallback": "http://127.0.0.1:9/hook",
    "callbackHeaders": {"Authorization": f"Bearer {HUSH}", "X-Key": HUSH},
}


@pytest.fixture
def everything(api: Api, caplog: pytest.LogCaptureFixture) -> "Witness":
    """Keeps each answer; all log records come on top."""
    caplog.set_level(logging.DEBUG)
    return Witness(api, caplog)


class Witness:
    def __init__(self, api: Api, caplog: pytest.LogCaptureFixture) -> None:
        self.api = api
        self._caplog = caplog
        self._answers: list[str] = []

    def note(self, answer: Any) -> Any:
        self._answers.append(answer.content.decode() + repr(answer.headers))
        return answer

    def assert_never_shown(self, *secrets: str) -> None:
        records = [
            f"{record.getMessage()} {record.args!r} {record.exc_text}"
            for record in self._caplog.records
        ]
        for secret in secrets:
            assert secret not in self._caplog.text
            assert not [text for text in [*records, *self._answers] if secret in text]


def all_views(witness: Witness, reference: str, staff: str) -> None:
    api = witness.api
    for path in ("/status", "/success", "/failures"):
        for token in (None, upload_token(None), staff):
            witness.note(api.get(f"{path}?hash={reference}", token=token))
    for path in ("/success/list", "/failures/list"):
        witness.note(api.get(path, token=staff))
    witness.note(api.call("DELETE", f"/cancel?hash={reference}", token=staff))


@pytest.mark.parametrize("content", [HOPPER, TRUNCATED])
@pytest.mark.parametrize("mode", ["full", "state"])
def test_callback_headers(
    everything: Witness,
    staff: str,
    configure: Callable[..., None],
    content: bytes,
    mode: str,
) -> None:
    configure(anonymous_status=mode)
    token = upload_token(JOB)
    reference = everything.note(everything.api.upload(content, token=token)).json()["hash"]
    all_views(everything, reference, staff)
    pipeline.wake()
    all_views(everything, reference, staff)
    everything.assert_never_shown(HUSH, token, upload_secret())


def test_callback_headers_are_stored_sealed(api: Api) -> None:
    api.upload(HOPPER, token=upload_token(JOB))
    api.upload(TRUNCATED, token=upload_token(JOB))
    pipeline.wake()
    pipeline.wake()
    assert Callback.objects.count() == Success.objects.count() + Failure.objects.count() == 2
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - our own tables
            assert HUSH not in repr(cursor.fetchall()), table


def test_refused_headers(everything: Witness) -> None:
    for headers in ({"X-Key": f"{HUSH}\r\nX: y"}, {"Host": HUSH}, {"X-Key": [HUSH]}):
        token = upload_token({**SMALL_JOB, "callbackHeaders": headers})
        answer = everything.note(everything.api.upload(token=token))
        assert answer.status_code == 422
        everything.assert_never_shown(HUSH, token)


def test_a_job_that_fails_by_a_fault_of_ours(everything: Witness, staff: str) -> None:
    reference = everything.api.accepted(HOPPER, token=upload_token(JOB))
    Job.objects.update(spec={"completionCallback": 5})
    pipeline.wake()
    assert Job.objects.get().error_code == "internal_error"
    all_views(everything, reference, staff)
    everything.assert_never_shown(HUSH, upload_secret())


def test_tokens_and_keys(everything: Witness) -> None:
    good = upload_token()
    bad = [good[:-3], good + "x", "very.secret.token", upload_token(None, lifetime_s=-100)]
    for token in bad:
        for path in ("/status?hash=" + "0" * 64, "/success/list", "/readyz"):
            everything.note(everything.api.get(path, token=token))
        everything.note(everything.api.upload(token=token))
    everything.assert_never_shown(
        *bad, upload_secret(), settings.SECRET_KEY, settings.STAFF_TOKEN_KEY
    )


def test_passwords(everything: Witness, staff_user: User, staff: str) -> None:
    api = everything.api
    wrong = "a wrong pass 99"
    for username, password in (("boss", wrong), ("nobody", PASSWORD), ("boss", PASSWORD + "\0")):
        everything.note(api.post_json("/token", {"username": username, "password": password}))
    for password in ("short7!", "hush" * 50):
        body = {"username": "nina", "password": password}
        everything.note(api.post_json("/register", body, token=staff))
        everything.assert_never_shown(password)
    everything.assert_never_shown(PASSWORD, wrong, staff)


def test_a_fault_while_answering_shows_no_more_than_its_place(everything: Witness) -> None:
    token = upload_token(None)

    def broken(execute: object, *args: object) -> None:
        raise RuntimeError("a bug")

    with connection.execute_wrapper(broken):
        answer = everything.note(everything.api.get(f"/status?hash={'0' * 64}", token=token))
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert "a bug" not in answer.content.decode()
    everything.assert_never_shown(token, upload_secret())
