"""A canary secret goes through every door of credentials, and comes out of none."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from pytest_django import Settings

from credentials import fields, resolver, secret, service
from credentials.models import Credential
from delivery import backends
from jobs import pipeline
from jobs.models import Job
from tests.api.caller import Api, assert_problem, upload_token
from tests.jobs.making import HOPPER, SMALL_JOB
from tests.server import Pixerve, free_port, running

CANARY = "canary-7f3a91c2-sings"
DATA = {"access_key": "AKIA1", "secret_key": CANARY, "bucket": "pictures"}
ADMIN = "/admin/credentials/credential"
FORM = {"key": "my-s3", "data_bucket": "pictures", "data_access_key_id": "A"}

# What a caller may send in the place of a text.
WRAPPED: list[Any] = [
    [CANARY],
    {"value": CANARY},
    {CANARY: 1},
    [[CANARY], {"x": [CANARY]}],
    CANARY + "\0",
    CANARY + "\ud800",
    CANARY * 4000,
    [CANARY] * 70,
]


@pytest.fixture
def witness(caplog: pytest.LogCaptureFixture) -> Iterator["Witness"]:
    caplog.set_level(logging.DEBUG)
    found = Witness(caplog)
    yield found
    found.check()


def _assert_free(told: bytes) -> None:
    at = told.find(CANARY.encode())
    assert at < 0, told[max(0, at - 300) : at + 300]


class Witness:
    """Keeps each answer; all log records come on top."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self.answers: list[str] = []

    def note(self, answer: Any) -> Any:
        body = b"".join(answer) if answer.streaming else answer.content
        self.answers.append(body.decode() + repr(answer.headers))
        return answer

    def check(self) -> None:
        # The fixture's own `records` are those of the teardown by now.
        records = self._caplog.get_records("call")
        plain = logging.Formatter()
        logged = [f"{plain.format(each)} {each.args!r} {each.__dict__!r}" for each in records]
        assert self.answers or logged
        for text in [*logged, *self.answers]:
            _assert_free(text.encode())


def bodies() -> Iterator[tuple[str, str]]:
    """(content type, body) of requests that hold the canary in all sorts of wrong ways."""
    good = {"key": "my-s3", "type": "s3", "data": DATA}
    for wrong in WRAPPED:
        for name in ("secret_key", "session_token", "secret_access_key"):
            yield "application/json", json.dumps({**good, "data": {**DATA, name: wrong}})
        yield "application/json", json.dumps({**good, "data": wrong})
    for change in ({"key": "a b"}, {"type": "x"}, {"owner": 5}, {"data": {**DATA, "x": 1}}):
        yield "application/json", json.dumps({**good, **change})
    whole = json.dumps(good)
    yield "application/json", whole[:-1]
    yield "application/json", whole + CANARY
    yield "application/json", f"[{whole}]"
    yield "application/json", f'"{CANARY}"'
    yield "application/json", whole.replace('"pictures"', "NaN")
    yield "multipart/form-data; boundary=x", whole
    yield "application/x-www-form-urlencoded", f"data={CANARY}"


def test_refused_bodies(api: Api, staff: str, witness: Witness) -> None:
    service.create(key="there", kind="s3", data={**DATA, "secret_key": "x"}, owner="", who="x")
    for content_type, body in bodies():
        for method, path in (
            ("POST", "/v1/credentials"),
            ("POST", "/admin/credentials"),
            ("PATCH", "/v1/credentials/there"),
        ):
            answer = witness.note(
                api.call(method, path, token=staff, data=body, content_type=content_type)
            )
            if not content_type.startswith("multipart"):  # a good body, whatever it is called
                assert 400 <= answer.status_code < 500, (answer.status_code, body[:300])
            Credential.objects.filter(key="my-s3").delete()
    witness.note(api.get("/schema"))


@pytest.mark.parametrize("kind", backends.names())
def test_every_secret_field_of_every_type(
    api: Api, staff: str, witness: Witness, kind: str
) -> None:
    """Whatever a backend says of a secret that it cannot use: never with its text."""
    for name in (field.name for field in fields.of(kind).values() if field.secret):
        for value in [CANARY, json.dumps({"type": CANARY}), f"-----BEGIN {CANARY}\n{CANARY}\n"]:
            body = {"key": "k", "type": kind, "data": {name: value}}
            answer = witness.note(api.post_json("/v1/credentials", body, token=staff))
            assert answer.status_code == 422
    witness.note(api.get("/v1/credentials", token=staff))


def test_good_ones(api: Api, staff: str, witness: Witness, staff_user: User) -> None:
    data = {**DATA, "endpoint": f"http://127.0.0.1:{free_port()}", "timeout_s": 2}
    body = {"key": "my-s3", "type": "s3", "data": data}
    witness.note(api.post_json("/v1/credentials", body, token=staff))
    witness.note(api.post_json("/v1/credentials", body, token=staff))
    one = "/v1/credentials/my-s3"
    changes = json.dumps({"data": {"session_token": CANARY}})
    witness.note(api.call("PATCH", one, token=staff, data=changes, content_type="application/json"))
    tried = witness.note(api.call("POST", f"{one}/test", token=staff)).json()
    assert tried["ok"] is False
    for path in (one, "/v1/credentials", "/schema"):
        witness.note(api.get(path, token=staff))
    client = Client()
    client.force_login(staff_user)
    pk = Credential.objects.get().pk
    for path in ("", f"{pk}/change/", f"{pk}/delete/", f"{pk}/history/", "add/?type=s3"):
        assert witness.note(client.get(f"{ADMIN}/{path}")).status_code == 200
    witness.note(client.post(f"{ADMIN}/{pk}/test/", follow=True))
    witness.note(client.get("/admin/"))
    _tables_are_clean()
    witness.note(api.call("DELETE", one, token=staff))
    _tables_are_clean()


def _tables_are_clean() -> None:
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - our own tables
            assert CANARY not in repr(cursor.fetchall()), table


@pytest.mark.parametrize("debug", [False, True])
def test_forms_that_fail(
    staff_user: User, witness: Witness, settings: Settings, debug: bool
) -> None:
    settings.DEBUG = debug
    client = Client(raise_request_exception=False)
    client.force_login(staff_user)
    for name in ("data_secret_access_key", "data_session_token"):
        for change in ({"key": "a b"}, {"data_endpoint": "x"}, {"data_bucket": ""}, {}):
            form = {**FORM, name: CANARY, **change}
            witness.note(client.post(f"{ADMIN}/add/?type=s3", form))
    made = service.create(key="m", kind="s3", data={**DATA, "secret_key": "x"}, owner="", who="x")
    for change in ({"data_bucket": ""}, {"owner": "\n"}, {}):
        form = {**FORM, "data_secret_access_key": CANARY, **change}
        witness.note(client.post(f"{ADMIN}/{made.pk}/change/", form))


@pytest.mark.parametrize("debug", [False, True])
def test_faults_of_ours(  # noqa: PLR0917 - each is a fixture
    api: Api, staff: str, staff_user: User, witness: Witness, settings: Settings, debug: bool
) -> None:
    """A traceback tells where, not with which values: the database breaks at each write."""
    settings.DEBUG = debug

    def broken(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if re.match("INSERT|UPDATE", sql) and "credential" in sql:
            raise RuntimeError("a bug")
        return execute(sql, params, many, context)

    client = Client(raise_request_exception=False)
    client.force_login(staff_user)
    made = service.create(key="m", kind="s3", data=DATA, owner="", who="x")
    body = {"key": "my-s3", "type": "s3", "data": DATA}
    with connection.execute_wrapper(broken):
        answers = [
            api.post_json("/v1/credentials", body, token=staff),
            client.post(f"{ADMIN}/add/?type=s3", {**FORM, "data_secret_access_key": CANARY}),
            client.post(
                f"{ADMIN}/{made.pk}/change/",
                {**FORM, "data_secret_access_key": CANARY + "2", "data_bucket": "other"},
            ),
        ]
    for answer in answers:
        assert witness.note(answer).status_code == 500


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another package's backend, known as an entry point would make it known."""
    place = {"talkative": "tests.credentials.talkative:Talkative"}
    monkeypatch.setattr(backends, "_BUILT_IN", {**backends._BUILT_IN, **place})
    backends.forget()
    yield
    monkeypatch.undo()
    backends.forget()
    fields.of.cache_clear()


@pytest.mark.usefixtures("talkative")
def test_a_backend_that_talks(api: Api, staff: str, staff_user: User, witness: Witness) -> None:
    """Another package's backend may say what it likes: its words do not get out with a secret."""
    body = {"key": "k", "type": "talkative", "data": {"place": "x", "password": CANARY}}
    answer = witness.note(api.post_json("/v1/credentials", body, token=staff))
    assert_problem(answer, 422, "invalid_credential", "data.password")
    body["data"] = {"place": "x", "password": CANARY * 2, "crash": True}
    answer = witness.note(api.post_json("/v1/credentials", body, token=staff))
    assert_problem(answer, 500, "internal_error")
    body["data"] = {"place": "x", "password": CANARY * 2}
    assert api.post_json("/v1/credentials", body, token=staff).status_code == 201
    verdict = witness.note(api.call("POST", "/v1/credentials/k/test", token=staff)).json()
    assert verdict["code"] == "auth_failed"
    client = Client()
    client.force_login(staff_user)
    page = witness.note(client.get(f"{ADMIN}/add/?type=talkative"))
    assert b'name="data_password"' in page.content


def test_a_backend_that_breaks(
    api: Api, staff: str, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.create(key="my-s3", kind="s3", data=DATA, owner="", who="x")

    def breaks(*_: object) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(type(backends.load("s3")), "open", breaks)
    answer = witness.note(api.call("POST", "/v1/credentials/my-s3/test", token=staff))
    assert answer.json()["code"] == "internal_error"


def test_objects_that_hold_it_do_not_show_it() -> None:
    made = Credential(key="k", type="s3", options={})
    secret.put(made, {"secret_access_key": CANARY})
    place = resolver.destination(made)
    assert place.secret["secret_access_key"] == CANARY
    for each in (made, place):
        assert CANARY not in f"{each} {each!r}"
    assert CANARY not in repr(made.__dict__)


def test_jobs_know_the_key_only(api: Api, staff: str, staff_user: User, witness: Witness) -> None:
    data = {**DATA, "endpoint": f"http://127.0.0.1:{free_port()}", "timeout_s": 2}
    service.create(key="my-s3", kind="s3", data=data, owner="", who="x")
    job = {**SMALL_JOB, "storageKeys": {"s3": "my-s3"}}
    answer = witness.note(api.upload(HOPPER, token=upload_token(job)))
    assert answer.status_code == 202, answer.content
    pipeline.wake()
    for token in (None, upload_token(None), staff):
        witness.note(api.get(f"/status?hash={answer.json()['hash']}", token=token))
    for path in ("/v1/credentials", "/v1/credentials/my-s3", "/v1/events", "/readyz"):
        assert witness.note(api.get(path, token=staff)).status_code == 200
    client = Client()
    client.force_login(staff_user)
    page = witness.note(client.get(f"/admin/jobs/job/{Job.objects.get().pk}/change/"))
    assert b"store_unavailable" in page.content
    assert b"my-s3" in witness.note(client.get("/admin/jobs/storagehealth/")).content
    for path in ("job", "failure", "callback", "success"):
        assert witness.note(client.get(f"/admin/jobs/{path}/")).status_code == 200
    assert "my-s3" in json.dumps(Job.objects.get().spec)
    _tables_are_clean()


# --- the whole product, from outside


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Pixerve]:
    with running(tmp_path, PIXERVE_LOG_LEVEL="DEBUG") as found:
        yield found


def test_processes_files_and_logs(server: Pixerve) -> None:
    staff = server.staff_token()
    answers = []

    def call(method: str, path: str, body: object = None) -> int:
        answer = server.request(
            method, path, token=staff, body=json.dumps(body).encode() if body else None
        )
        answers.append(answer.body)
        return answer.status

    data = {**DATA, "endpoint": f"http://127.0.0.1:{free_port()}", "timeout_s": 2}
    assert call("POST", "/admin/credentials", {"key": "k", "type": "s3", "data": data}) == 201
    assert call("POST", "/v1/credentials", {"key": "k", "type": "s3", "data": [CANARY]}) == 422
    assert call("PATCH", "/v1/credentials/k", {"data": {"session_token": CANARY}}) == 200
    assert call("POST", "/v1/credentials/k/test") == 200
    assert call("GET", "/v1/credentials/k") == 200
    assert call("GET", "/v1/credentials") == 200
    told = b"".join(answers)
    assert b"store_unavailable" in told
    told += server.log.encode()
    for process in server.processes().values():
        told += _seen_from_outside(process)
    for path in sorted(server.data.rglob("*")):
        if path.is_file():
            told += path.read_bytes()
    assert b"SQLite format 3" in told
    assert b"PIXERVE_DATA_DIR" in told, "no process was looked at"
    _assert_free(told)


def _seen_from_outside(process: psutil.Process) -> bytes:
    found = b""
    for name in ("cmdline", "environ"):
        try:
            found += Path(f"/proc/{process.pid}/{name}").read_bytes()
        except FileNotFoundError:
            continue  # it ended meanwhile
    return found
