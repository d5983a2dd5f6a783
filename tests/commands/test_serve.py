"""`manage.py serve`: what it says, what it makes, how it starts, stops and refuses."""

import errno
import http.client
import json
import os
import pty
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.core.management import CommandError

from jobs import staging
from pixerve_site import first_run
from pixerve_site.management.commands import serve
from tests.acceptance.evidence import (
    PHOTO,
    QUICK_JOB,
    SMALL,
    Cast,
    another,
    cast,
    check_ended_once_and_right,
    family,
    held,
    holder,
    job_row,
    post,
    slow_job,
    wait_ended,
)
from tests.server import ROOT, Pixerve, free_port, make_token, multipart, running, wait_for

SERVE = [sys.executable, str(ROOT / "manage.py"), "serve"]
OWN_SECRETS = {"PIXERVE_JWT_SECRET": "", "DJANGO_SUPERUSER_PASSWORD": ""}
# With these given, the start has no secret to write.
ALL_KEYS = {
    "PIXERVE_SECRET_KEY": "s" * 64,
    "PIXERVE_CREDENTIAL_KEYS": Fernet.generate_key().decode(),
}
READY = "Ctrl-C stops it."


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pixerve]:
    """A first start on an empty folder, without any secret given."""
    with running(
        tmp_path_factory.mktemp("fresh"), PIXERVE_MAX_WORKERS="1", **OWN_SECRETS
    ) as server:
        wait_for(lambda: READY in server.log, what="the greeting")
        yield server


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refused(server: Pixerve) -> str:
    """What a serve that cannot start says: one line, and no exit code 0."""
    server.folder.mkdir(parents=True, exist_ok=True)
    ended = server.manage("serve")
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr + ended.stdout
    [line] = ended.stderr.strip().splitlines()
    return line


def test_the_first_start_makes_keys_and_says_so(fresh: Pixerve) -> None:
    for name in ("secret_key", "credential_keys", "jwt.json"):
        assert mode(fresh.data / name) == 0o600
        assert f"made {fresh.data / name}" in fresh.log.splitlines()
    assert mode(fresh.data) == 0o700
    assert f"Pixerve is ready:  {fresh.url}/" in fresh.log


def test_without_a_terminal_secrets_go_to_files(fresh: Pixerve) -> None:
    for name in ("admin_password", "trial_token"):
        path = fresh.data / name
        assert str(path) in fresh.log
        assert mode(path) == 0o600
    stored = [path for path in fresh.data.iterdir() if mode(path) == 0o600 and path.is_file()]
    stored = [path for path in stored if ".sqlite3" not in path.name]
    secrets = [path.read_text().strip() for path in stored if path.name != "jwt.json"]
    secrets.append(json.loads((fresh.data / "jwt.json").read_text())["secret"])
    assert len(secrets) >= 5
    assert [secret for secret in secrets if secret in fresh.log] == []


def test_nobody_else_can_read_the_data(tmp_path: Path) -> None:
    """Not even in a folder that was made for everybody to look into."""
    (tmp_path / "data").mkdir(mode=0o755)
    with running(tmp_path, PIXERVE_MAX_WORKERS="1", **ALL_KEYS) as server:
        assert_only_we_can_read(server)


def assert_only_we_can_read(server: Pixerve) -> None:
    with held(server, "private"):
        staged = [*(server.data / "staging").iterdir()]
        database = [*server.data.glob("pixerve.sqlite3*")]
    assert [mode(path) for path in staged] == [0o700]
    assert {mode(path) for path in database} == {0o600}


def test_the_password_of_the_file_signs_in(fresh: Pixerve) -> None:
    password = (fresh.data / "admin_password").read_text().strip()
    body = json.dumps({"username": "root", "password": password}).encode()
    headers = {"Content-Type": "application/json"}
    assert fresh.request("POST", "/token", body=body, headers=headers).status == 200


def test_the_printed_curl_works_verbatim(fresh: Pixerve) -> None:
    [line] = [line for line in fresh.log.splitlines() if line.startswith("  curl ")]
    printed = subprocess.check_output(["/bin/bash", "-c", line], stderr=subprocess.DEVNULL)
    answer = json.loads(printed)
    assert len(answer["expected_files"]) == 3
    assert fresh.wait_end(answer["hash"])["state"] == "completed"
    for name in answer["expected_files"]:
        assert fresh.get(f"/files/trial/{name}").status == 200


def test_a_second_server_on_the_same_folder_is_refused(fresh: Pixerve) -> None:
    line = refused(Pixerve(fresh.folder, free_port(), OWN_SECRETS))
    assert f"another Pixerve is running on {fresh.data}" in line
    assert fresh.get("/health").status == 200


def test_a_taken_port_is_one_line(fresh: Pixerve, tmp_path: Path) -> None:
    line = refused(Pixerve(tmp_path, fresh.port))
    assert f"port {fresh.port} on 127.0.0.1 is in use" in line
    assert "PIXERVE_PORT" in line


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PIXERVE_PORT", "abc", "integer"),
        ("PIXERVE_PORT", "70000", "65535"),
        ("PIXERVE_JWT_SECRET", "short", "32 bytes"),
        ("PIXERVE_CREDENTIAL_KEYS", "no key", "32 url-safe"),
        ("PIXERVE_MAX_UPLOAD_BYTES", "much", "100 MiB"),
        ("PIXERVE_JWT_KEYS", "/no/such/file", "PIXERVE_JWT_KEYS"),
        ("PIXERVE_PUBLIC_URL", "images.example.com", "https://"),
        ("PIXERVE_RATE_LIMIT", "often", "60/m"),
        ("PIXERVE_HOST", "no-such-host.invalid", "no-such-host.invalid"),
        ("PIXERVE_SECRET_KEY_FILE", "/no/such/file", "cannot read"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(
    tmp_path: Path, name: str, value: str, words: str
) -> None:
    line = refused(Pixerve(tmp_path, free_port(), {name: value}))
    assert words in line
    assert name in line or name == "PIXERVE_HOST"
    assert value not in line or name != "PIXERVE_JWT_SECRET"


def test_the_staff_key_may_not_sign_uploads(tmp_path: Path) -> None:
    same = "one secret for both, which is long enough for each"
    line = refused(
        Pixerve(tmp_path, free_port(), {"PIXERVE_JWT_SECRET": same, "PIXERVE_SECRET_KEY": same})
    )
    assert "PIXERVE_JWT_SECRET and PIXERVE_SECRET_KEY" in line
    assert same not in line


def test_an_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "serve").write_text("a file, not a folder")
    assert "PIXERVE_SERVE_DIR" in refused(Pixerve(tmp_path, free_port()))


@contextmanager
def on_a_terminal(server: Pixerve) -> Iterator[int]:
    """A serve whose standard streams are a terminal; yields our end of it."""
    ours, theirs = pty.openpty()
    server.folder.mkdir(parents=True, exist_ok=True)
    server.process = subprocess.Popen(
        SERVE, env=server.environment(), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    try:
        yield ours
    finally:
        os.close(ours)
        if server.process.poll() is None:
            server.kill()


def read_until(terminal: int, word: str) -> str:
    """What the terminal shows up to `word`."""
    shown = b""

    def look() -> bool:
        nonlocal shown
        if select.select([terminal], [], [], 0.1)[0]:
            shown += os.read(terminal, 65536)
        return word.encode() in shown

    wait_for(look, what=f"{word!r} on the terminal")
    return shown.decode().replace("\r\n", "\n")


def test_a_folder_that_cannot_be_locked_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _how: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    staging.root().mkdir(parents=True, exist_ok=True)
    serve.Command()._try_lock()
    monkeypatch.setattr("jobs.holds.fcntl.flock", refuse)
    with pytest.raises(CommandError, match=r"cannot be locked .* set PIXERVE_DATA_DIR"):
        serve.Command()._try_lock()


@pytest.mark.django_db(transaction=True)
def test_there_is_no_admin_whose_password_nobody_was_told() -> None:
    def killed(_: first_run.NewAdmin) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first_run.ensure_admin(killed)
    assert not User.objects.exists()


def test_a_terminal_is_shown_the_password_and_ctrl_c_stops(tmp_path: Path) -> None:
    settings = {"PIXERVE_MAX_WORKERS": "1", **OWN_SECRETS}
    server = Pixerve(tmp_path, free_port(), settings, measured=True)
    with on_a_terminal(server) as terminal:
        shown = read_until(terminal, READY)
        [(name, password)] = re.findall(r"sign in as +(\S+) / (\S+)", shown)
        assert not (server.data / "admin_password").exists()
        assert f"made the user {name} / {password}" in shown
        body = json.dumps({"username": name, "password": password}).encode()
        headers = {"Content-Type": "application/json"}
        assert server.request("POST", "/token", body=body, headers=headers).status == 200
        assert server.process is not None
        server.process.send_signal(signal.SIGINT)
        wait_for(lambda: server.process is not None and server.process.poll() is not None)
        assert server.process.returncode == 0
    assert family(server) == []


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pixerve]:
    """A server that is stopped and started; it asks its workers to hurry at a stop."""
    folder = tmp_path_factory.mktemp("again")
    settings = {"PIXERVE_MAX_WORKERS": "1", "PIXERVE_STOP_GRACE": "16", **ALL_KEYS}
    with running(folder, measured=True, **settings) as server:
        yield server


def test_nobody_else_can_read_the_data_that_it_makes_with_all_keys_given(again: Pixerve) -> None:
    assert mode(again.data) == 0o700
    assert_only_we_can_read(again)


def test_a_second_start_is_quick_and_says_no_password(again: Pixerve) -> None:
    assert again.stop() == 0
    assert family(again) == []
    (again.folder / "log").write_bytes(b"")
    halves = [again.data / f".{name}.0123456789abcdef" for name in ("jwt.json", "secret_key")]
    for half in halves:
        half.write_text("half a key")
    os.utime(halves[0], (0, 0))
    started = time.monotonic()
    again.start()
    took = time.monotonic() - started
    print(f"second start to /health: {took:.1f} s")
    assert took < 30
    # What a start that was killed left is gone; one that is a moment old may be under way.
    assert [half.exists() for half in halves] == [False, True]
    halves[1].unlink()
    wait_for(lambda: READY in again.log, what="the greeting")
    assert "sign in as" not in again.log
    assert "made " not in again.log


def refuses(server: Pixerve) -> bool:
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # it was in the queue of connections when that was closed
    return False


@contextmanager
def upload_under_way(server: Pixerve) -> Iterator[Callable[[], int]]:
    """Half an upload has come in; what is yielded sends the rest and returns the status."""
    body, kind = multipart([("file", "half.jpg", another(SMALL, "half"))])
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as connection:
        connection.putrequest("POST", "/upload")
        connection.putheader("Authorization", f"Bearer {make_token(QUICK_JOB)}")
        connection.putheader("Content-Type", kind)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[: len(body) // 2])

        def finish() -> int:
            connection.send(body[len(body) // 2 :])
            return connection.getresponse().status

        yield finish


def test_a_stop_hands_a_long_job_back(again: Pixerve) -> None:
    uid = post(again, another(PHOTO, "long"), slow_job(1000))
    waiting = post(again, another(SMALL, "waits"), QUICK_JOB)
    holder(again, uid)

    started = time.monotonic()
    with upload_under_way(again) as finish:
        assert again.get("/livez").status == 200  # its turn came after the half upload's
        assert again.process is not None
        again.process.terminate()
        # Who comes now goes to another host at once; who was there is still served.
        wait_for(lambda: refuses(again), what="a refusal", within_s=1)
        assert again.process.poll() is None
        assert finish() == 202
    assert again.process.wait(16) == 0
    assert time.monotonic() - started < 16
    assert family(again) == []
    stopped = job_row(again, uid)
    again.start()

    assert (stopped["state"], stopped["attempts"], stopped["lost_leases"]) == ("pending", 0, 0)
    wait_ended(again, [uid, waiting], within_s=90)
    check_ended_once_and_right(again, [uid, waiting])
    assert job_row(again, uid)["attempts"] == 1


class Visitors:
    """Asks and uploads without a pause, from several threads, until told to stop."""

    def __init__(self, server: Pixerve) -> None:
        self._server = server
        self._done = threading.Event()
        self.answers: list[int] = []
        self.jobs: list[str] = []
        self._threads = [
            threading.Thread(target=self._repeat, args=(each,)) for each in (self._ask, self._post)
        ]

    def __enter__(self) -> "Visitors":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, act: Callable[[int], None]) -> None:
        number = 0
        while not self._done.wait(0.02):
            try:
                act(number)
            except (OSError, http.client.HTTPException):
                self.answers.append(0)
            number += 1

    def _ask(self, number: int) -> None:
        self.answers.append(self._server.get("/health").status)

    def _post(self, number: int) -> None:
        self._done.wait(0.1)
        picture = another(SMALL, f"visitor {number}")
        answer = self._server.upload(picture, make_token(QUICK_JOB))
        self.answers.append(answer.status)
        self.jobs.append(answer.json()["job_id"].replace("-", ""))


def test_a_renewal_under_load_drops_no_request_and_no_job(again: Pixerve) -> None:
    before = cast(again, workers=1)
    body, content_type = multipart([("file", "slow.jpg", another(SMALL, "slow"))])
    headers = {"Content-Type": content_type, "Authorization": f"Bearer {make_token(QUICK_JOB)}"}
    supervisor = int((again.data / "serve.lock").read_text())
    with (
        Visitors(again) as visitors,
        closing(http.client.HTTPConnection("127.0.0.1", again.port, timeout=30)) as slow,
    ):
        slow.putrequest("POST", "/upload")
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            slow.putheader(name, value)
        slow.endheaders(body[:1000])
        wait_for(lambda: len(visitors.answers) > 10, what="answers before the renewal")
        os.kill(supervisor, signal.SIGUSR2)
        wait_for(lambda: renewed(before), what="new parts")
        slow.send(body[1000:])
        answer = slow.getresponse()
        assert answer.status == 202
        jobs = [json.loads(answer.read())["job_id"].replace("-", "")]
        assert psutil.wait_procs([before.web], timeout=15)[1] == []
        seen = len(visitors.answers)
        wait_for(lambda: len(visitors.answers) > seen + 10, what="answers after the renewal")
    assert set(visitors.answers) == {200, 202}
    jobs += visitors.jobs
    wait_ended(again, jobs)
    check_ended_once_and_right(again, jobs)
    assert {job_row(again, uid)["attempts"] for uid in jobs} == {1}


def renewed(before: Cast) -> bool:
    """Whether every part has a new process, that of web with a worker; the old web may live on."""
    old = {before.web.pid, before.cluster.pid, before.clerk.pid}
    parts = [each for each in before.supervisor.children() if each.pid not in old]
    try:
        new = {each.cmdline()[-1]: each for each in parts}
        return {"cluster", "clerk"} <= set(new) and bool(
            new["pixerve_site.wsgi:application"].children()
        )
    except (KeyError, IndexError, psutil.NoSuchProcess):
        return False


def test_a_killed_web_process_is_back_within_seconds(again: Pixerve) -> None:
    web = cast(again, workers=1).web
    old = [web, *web.children(recursive=True)]
    web.kill()
    # The worker of the killed process may still answer, and be killed while it does.
    assert psutil.wait_procs(old, timeout=15)[1] == []
    wait_for(lambda: answers(again), within_s=15, what="an answer")
    uid = post(again, another(SMALL, "after the kill"), QUICK_JOB)
    wait_ended(again, [uid])
    check_ended_once_and_right(again, [uid])


def answers(server: Pixerve) -> bool:
    try:
        return server.get("/status?hash=" + "0" * 64, token=make_token()).status == 404
    except OSError:
        return False


def test_a_second_signal_is_a_kill_that_no_job_is_blamed_for(again: Pixerve) -> None:
    uid = post(again, another(PHOTO, "cut"), slow_job(1100))
    worker = holder(again, uid)
    assert again.process is not None
    again.process.terminate()
    wait_for(lambda: job_row(again, uid)["excused"], what="the beginning of the stop")
    assert worker.is_running()

    def insist() -> bool:
        assert again.process is not None
        # No more once it is heard: coverage's own handler, at the end, must not meet itself.
        if "killing what did not stop" not in again.log:
            again.process.terminate()
        return again.process.poll() is not None

    wait_for(insist, within_s=5, every_s=0.1, what="the end of the server")
    assert family(again) == []
    cut = job_row(again, uid)
    assert (cut["state"], cut["excused"], cut["lost_leases"]) == ("processing", 1, 0)


def test_the_port_is_free_after_the_stop(again: Pixerve) -> None:
    with socket.create_server(("127.0.0.1", again.port)):
        pass
    assert family(again) == []


def test_a_second_host_without_keys_does_not_start(tmp_path: Path) -> None:
    env = {"PIXERVE_BROKER_URL": "redis://:hush@127.0.0.1:1/0"}
    ended = Pixerve(tmp_path, free_port(), env).manage("serve")
    assert ended.returncode != 0
    assert "PIXERVE_SECRET_KEY: set it, the same on each host" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "hush" not in ended.stderr
    assert not [*tmp_path.rglob("secret_key")]
