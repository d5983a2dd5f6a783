"""GET /, /health, /healthz, /livez, /readyz and /version."""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from pydantic import SecretStr

from encoders.sandbox import powers
from jobs.models import Job
from pixerve_site import health
from pixerve_site.health import look_at_bucket, uptime
from pixerve_site.shared import staging
from pixerve_site.version import VERSION
from tests.api.caller import Api, assert_problem, upload_token
from tests.jobs.making import make_job
from tests.server import wait_for

Configure = Callable[..., None]


def test_health_is_what_it_was_and_more(api: Api) -> None:
    answer = api.get("/health")
    found = answer.json()
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    assert list(found) == ["status", "timestamp", "version", "uptime", "start_time"]
    assert (found["status"], found["version"]) == ("healthy", VERSION)
    assert re.fullmatch(r"\d+d \d+h \d+m \d+s", found["uptime"])
    now, start = (datetime.fromisoformat(found[name]) for name in ("timestamp", "start_time"))
    assert now.tzinfo is not None
    assert start.tzinfo is not None
    assert start <= now <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0d 0h 0m 0s"),
        (59.9, "0d 0h 0m 59s"),
        (3600, "0d 1h 0m 0s"),
        (90_061, "1d 1h 1m 1s"),
        (8_640_000, "100d 0h 0m 0s"),
    ],
)
def test_uptime(seconds: float, text: str) -> None:
    assert uptime(seconds) == text


@pytest.mark.parametrize("path", ["/healthz", "/livez"])
def test_short_ones(api: Api, path: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/health", "/healthz", "/livez", "/readyz", "/version"])
def test_no_token_is_asked_for_and_no_cookie_given(api: Api, path: str) -> None:
    answer = api.get(path)
    assert answer.status_code == 200
    assert not answer.cookies
    assert_problem(api.call("POST", path), 405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/health", "/healthz", "/livez", "/version"])
def test_these_need_no_database(api: Api, path: str, django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert api.get(path).status_code == 200


def test_version(api: Api) -> None:
    found = api.get("/version").json()
    assert list(found) == [
        "version",
        "build_time",
        "git_commit",
        "python_version",
        "imagemagick_version",
    ]
    assert found["version"] == VERSION
    assert found["imagemagick_version"].startswith("ImageMagick ")
    assert all(found.values())
    datetime.fromisoformat(found["build_time"])


def test_ready(api: Api, staff: str, configure: Configure) -> None:
    configure(ready_free_bytes=1)
    assert api.get("/readyz").json() == {"status": "ok"}
    told = api.get("/readyz", token=staff).json()
    assert told["sandbox"] == {"seccomp": powers().seccomp, "landlock": powers().landlock}
    checks = told["checks"]
    assert set(checks) == {"database", "queue", "staging"}
    assert all(check["ok"] for check in checks.values())
    assert checks["staging"]["free_bytes"] > 0


@pytest.mark.parametrize("with_token", [False, True])
def test_only_staff_see_details(api: Api, plain: str, with_token: bool) -> None:
    tokens = [plain, upload_token()] if with_token else [None]
    for token in tokens:
        assert set(api.get("/readyz", token=token).json()) == {"status"}


def test_an_old_queue_is_not_ready(api: Api, staff: str, configure: Configure) -> None:
    configure(ready_queue_age=60, ready_free_bytes=1)
    job = make_job()
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(seconds=61))
    answer = api.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "not ready"})
    queue = api.get("/readyz", token=staff).json()["checks"]["queue"]
    assert queue["ok"] is False
    assert 61 <= queue["oldest_s"] < 120


def test_a_balancer_can_leave_a_check_out(api: Api, configure: Configure) -> None:
    configure(ready_queue_age=60, ready_free_bytes=1)
    Job.objects.filter(pk=make_job().pk).update(created_at=timezone.now() - timedelta(seconds=61))
    assert api.get("/readyz?exclude=queue").json() == {"status": "ok"}
    assert api.get("/readyz?exclude=staging").status_code == 503
    configure(ready_free_bytes=2**60)
    assert api.get("/readyz?exclude=queue").status_code == 503
    assert api.get("/readyz?exclude=queue&exclude=staging").status_code == 200
    body = assert_problem(api.get("/readyz?exclude=queues"), 400, "invalid_parameter")
    assert body["field"] == "exclude"


def test_a_job_that_waits_for_its_next_try_is_not_old(api: Api, configure: Configure) -> None:
    configure(ready_queue_age=1, ready_free_bytes=1)
    job = make_job()
    later = timezone.now() + timedelta(hours=1)
    Job.objects.filter(pk=job.pk).update(
        run_after=later, created_at=timezone.now() - timedelta(days=1)
    )
    assert api.get("/readyz").status_code == 200


def test_a_full_disk_is_not_ready(api: Api, staff: str, configure: Configure) -> None:
    configure(ready_free_bytes=2**60)
    assert api.get("/readyz").status_code == 503
    checks = api.get("/readyz", token=staff).json()["checks"]
    assert [name for name, check in checks.items() if not check["ok"]] == ["staging"]


def test_a_database_that_is_away_is_not_ready_but_alive(api: Api, configure: Configure) -> None:
    configure(ready_free_bytes=1)

    def away(execute: object, *args: object) -> None:
        raise OperationalError("away")

    with connection.execute_wrapper(away):
        answer = api.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "not ready"})
        assert api.get("/livez").status_code == 200
        assert api.get("/health").status_code == 200
        body = assert_problem(api.get(f"/status?hash={'0' * 64}"), 503, "database_unavailable")
    assert "away" not in body["detail"]


def test_the_front_page(api: Api) -> None:
    answer = api.get("/")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/html")
    assert b"Pixerve" in answer.content
    refused = api.call("POST", "/")
    assert_problem(refused, 405, "method_not_allowed")
    assert "GET" in refused["Allow"]


@pytest.mark.parametrize("path", ["/nothing", "/upload/", "/files", "/health/", "/%00", "/.env"])
def test_unknown_paths_are_problems(api: Api, path: str) -> None:
    assert_problem(api.get(path), 404, "not_found")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
@pytest.mark.parametrize("host", ["10.0.0.5:8080", "no name", ""])
def test_probes_ask_by_any_address(api: Api, path: str, host: str) -> None:
    assert api.get(path, HTTP_HOST=host).status_code == 200


def test_a_bucket_that_does_not_answer_is_in_the_log_at_the_start(
    configure: Configure, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_asked", (-math.inf, True))
    to = staging("s3://pictures?endpoint=http://127.0.0.1:1", "key", "hush-hush")
    configure(staging=to, staging_url=SecretStr("s3://pictures"))
    look_at_bucket()
    wait_for(lambda: not health._asked[1], what="the answer")
    assert "the bucket: store_unavailable: 127.0.0.1 at 127.0.0.1 port 1" in caplog.text
    assert "hush-hush" not in caplog.text


def test_an_unknown_host_is_a_problem(api: Api) -> None:
    assert_problem(api.get("/health", HTTP_HOST="evil.example"), 400, "unknown_host")
