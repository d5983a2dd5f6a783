"""The whole server on PostgreSQL: what it promises, and what it does when PostgreSQL goes away."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.endpoint import endpoint
from tests.acceptance.evidence import (
    PHOTO,
    QUICK_JOB,
    SMALL,
    another,
    cast,
    check_ended_once_and_right,
    held,
    holder,
    job_row,
    post,
    rows,
    slow_job,
    staged,
    wait_ended,
)
from tests.deploy.backing import NOT_OURS, backing_up, check_goes_on, uploading
from tests.peers import postgres
from tests.peers.postgres import Postgres
from tests.server import EXAMPLE_JOB, Answer, Pixerve, free_port, make_token, running, wait_for

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(postgres.missing() is not None, reason=str(postgres.missing())),
]

WORKERS = 2
UPLOADS = 20


@pytest.fixture(scope="module")
def peer() -> Iterator[Postgres]:
    with postgres.running() as found:
        yield found


@pytest.fixture(scope="module")
def server(peer: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pixerve]:
    settings = {
        "PIXERVE_DATABASE_URL": peer.make("pixerve"),
        "PIXERVE_MAX_WORKERS": str(WORKERS),
    }
    with running(tmp_path_factory.mktemp("postgres"), **settings) as found:
        yield found


def test_the_example_token_gives_its_files_and_is_told(server: Pixerve) -> None:
    with endpoint() as receiver:
        job = {**EXAMPLE_JOB, "keepOriginal": True, "completionCallback": receiver.url}
        token = make_token(job)
        answer = server.upload(PHOTO, token)
        assert answer.status == 202, answer.body
        end = server.wait_end(answer.json()["hash"], token)
        wait_for(lambda: receiver.calls, what="the callback")
    assert end["state"] == "completed", end
    assert [file["name"] for file in end["files"]] == answer.json()["expected_files"]
    assert len(end["files"]) == 5
    for file in end["files"]:
        got = server.get(f"/files/tenant-123/{file['name']}")
        assert hashlib.sha256(got.body).hexdigest() == file["sha256"]
    [call] = receiver.calls
    assert (call.json()["status"], call.json()["job_data"]) == ("completed", job)
    [event] = server.get("/v1/events", token=token).json()["events"]
    assert event["message_id"] == call.id
    assert not [*server.data.glob("*.sqlite3*")]


def test_outputs_keep_the_order_of_the_token(server: Pixerve) -> None:
    formats = {"webp": {"sizes": [[9]]}, "png": {"sizes": [[9]]}, "jpg": {"sizes": [[9]]}}
    token = make_token({"formats": formats, "directHost": True}, subject="orderly")
    answer = server.upload(SMALL, token).json()
    end = server.wait_end(answer["hash"], token)
    assert [file["name"] for file in end["files"]] == answer["expected_files"]
    assert [name.rpartition(".")[2] for name in answer["expected_files"]] == ["webp", "png", "jpg"]


def test_a_backup_beside_uploads_comes_back(
    server: Pixerve, peer: Postgres, tmp_path: Path
) -> None:
    target = tmp_path / "backup"
    with uploading(server) as meanwhile:
        with held(server, "held one") as first, held(server, "held two") as second:
            more = [post(server, another(SMALL, f"kept {n}"), QUICK_JOB) for n in range(3)]
            before = [first, second, *more]
            making = backing_up(server, target)
            keeps = server.data / "run" / "keep-staging"
            wait_for(lambda: keeps.exists() or making.poll() is not None, what="its beginning")
        # From here on jobs end while it reads.
        _, said = making.communicate(timeout=60)
    assert (making.returncode, said) == (0, NOT_OURS)

    env = {**server.env, "PIXERVE_DATABASE_URL": peer.make("restored")}
    new = Pixerve(tmp_path / "new", free_port(), env)
    done = new.manage("restore", str(target))
    assert done.returncode == 0, done.stderr
    copied = {str(row["uid"].hex): row["state"] for row in rows(new, "SELECT * FROM jobs_job")}
    assert set(before) <= set(copied)
    assert "pending" in copied.values()
    assert "processing" not in copied.values()
    again = new.manage("restore", str(target))
    assert (again.returncode, "there is a database already" in again.stderr) == (1, True)
    check_goes_on(new, [uid for uid in copied if uid in {*before, *meanwhile}])


def test_a_backup_says_why_there_is_none(server: Pixerve, tmp_path: Path) -> None:
    away = Pixerve(server.folder, server.port, {**server.env, "PATH": str(tmp_path)})
    done = away.manage("backup", str(tmp_path / "none"))
    assert done.returncode == 1
    assert "no backup: pg_dump is not installed" in done.stderr
    assert not (tmp_path / "none" / "backup.json").exists()


def test_a_restart_among_twenty_uploads_loses_nothing(server: Pixerve, peer: Postgres) -> None:
    before = cast(server, workers=WORKERS)
    half = threading.Semaphore(0)

    def upload(number: int) -> Answer:
        token = make_token(slow_job(60 + number), subject=f"subject-{number % 3}")
        answer = server.upload(another(PHOTO, f"restart {number}"), token)
        half.release()
        return answer

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(upload, number) for number in range(UPLOADS)]
        for _ in range(UPLOADS // 2):
            assert half.acquire(timeout=60)
        peer.stop()
        peer.start()
        answers = [each.result(60) for each in futures]

    for answer in answers:
        assert answer.status in {202, 503}, answer.body
        assert (answer.status == 503) == ("Retry-After" in answer.headers)
    taken = [answer.json()["job_id"] for answer in answers if answer.status == 202]
    assert len(taken) >= UPLOADS // 2
    wait_ended(server, taken)
    check_ended_once_and_right(server, taken)
    assert {job_row(server, uid)["lost_leases"] for uid in taken} == {0}
    check_every_job_ended(server)
    # Nobody took the outage for a reason to end.
    after = cast(server, workers=WORKERS)
    assert (after.cluster, after.sentinel, after.workers) == (
        before.cluster,
        before.sentinel,
        before.workers,
    )
    assert (after.clerk, after.web) == (before.clerk, before.web)


def check_every_job_ended(server: Pixerve) -> None:
    """Those too whose upload was answered with 503 because nobody answered its COMMIT."""
    found = [row["uid"] for row in rows(server, "SELECT uid FROM jobs_job WHERE state <> 'failed'")]
    wait_ended(server, [str(uid) for uid in found])
    check_ended_once_and_right(server, [str(uid) for uid in found])


def test_while_it_is_away_uploads_are_refused_and_work_goes_on_after(
    server: Pixerve, peer: Postgres
) -> None:
    running_job = post(server, another(PHOTO, "under way"), slow_job(360))
    holder(server, running_job)
    peer.kill()
    try:
        folders = staged_folders(server)
        answer = server.upload(another(SMALL, "away"), make_token(QUICK_JOB))
        assert (answer.status, answer.json()["code"]) == (503, "database_unavailable")
        assert answer.headers["Retry-After"] == "5"
        assert staged_folders(server) == folders
        assert server.get("/readyz").status == 503
        assert server.get("/livez").status == 200
        assert server.get("/v1/events", token=make_token()).status == 503
    finally:
        peer.start()
    late = post(server, another(SMALL, "away"), QUICK_JOB)
    wait_ended(server, [running_job, late])
    check_ended_once_and_right(server, [running_job, late])
    assert job_row(server, running_job)["lost_leases"] == 0
    wait_for(lambda: not staged_of_jobs(server), what="clean staging")
    assert peer.password not in server.log


def staged_of_jobs(server: Pixerve) -> set[str]:
    """Without uploads that became no job because nobody answered their COMMIT: those stay for a
    while, as nobody can know."""
    known = {str(row["uid"]) for row in rows(server, "SELECT uid FROM jobs_job")}
    return staged(server) & known


def staged_folders(server: Pixerve) -> set[str]:
    return {each.name for each in (server.data / "staging").iterdir()}


def test_a_role_that_may_make_no_tables_is_one_line(peer: Postgres, tmp_path: Path) -> None:
    address = urlsplit(peer.make("not-ours"))
    with peer.connect() as admin:
        admin.execute("CREATE ROLE guest LOGIN PASSWORD 'guest-password'")
    host = address.netloc.rpartition("@")[2]
    guest = f"postgres://guest:guest-password@{host}{address.path}"
    done = Pixerve(tmp_path, free_port(), {"PIXERVE_DATABASE_URL": guest}).manage("serve", "clerk")
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("CommandError")]
    assert len(said) == 1, done.stderr
    assert "permission denied for schema public" in said[0]
    assert "OWNER TO" in said[0]
    assert "Traceback" not in done.stderr
    assert "guest-password" not in done.stderr + done.stdout


def test_a_start_without_the_database_is_one_line(peer: Postgres, tmp_path: Path) -> None:
    wrong = peer.url("nothing-of-this-name")
    done = Pixerve(tmp_path, free_port(), {"PIXERVE_DATABASE_URL": wrong}).manage("serve")
    assert done.returncode == 1
    assert "the database is not there" in done.stderr
    assert 'database "nothing-of-this-name" does not exist' in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert peer.password not in done.stderr + done.stdout
