"""What stands behind the answers: rows, leases, staging, processes, and ways to hold work still."""

import hashlib
import sqlite3
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psutil
import psycopg

from tests.server import IMAGES, Pixerve, make_token, wait_for

PHOTO = (IMAGES / "imn_large.jpg").read_bytes()
SMALL = (IMAGES / "pil_hopper.jpg").read_bytes()
QUICK_JOB: dict[str, Any] = {"formats": {"jpg": {"sizes": [[64]]}}, "directHost": True}
ENDED = {"completed", "failed", "cancelled"}
_SEGMENT = 65_000


def slow_job(*sides: int) -> dict[str, Any]:
    """A job that keeps a core busy: an AVIF of each side, about 0.5 s at 360 and 3 s at 800."""
    settings = {"speed": 0}
    sizes = [[side] for side in sides]
    return {"formats": {"avif": {"settings": settings, "sizes": sizes}}, "directHost": True}


def another(picture: bytes, mark: str, *, size: int = 0) -> bytes:
    """The same JPEG with another content: `mark` in comments, which pad it to `size` bytes."""
    comments = [_comment(mark.encode())]
    missing = size - len(picture) - len(comments[0])
    while missing > 0:
        taken = missing if missing <= _SEGMENT else min(_SEGMENT, missing - 4)
        comments.append(_comment(bytes(taken - 4)))
        missing -= taken
    return b"".join([picture[:2], *comments, picture[2:]])


def _comment(text: bytes) -> bytes:
    return b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text


def post(server: Pixerve, picture: bytes, job: dict[str, Any], subject: str = "user-123") -> str:
    """Upload a picture that must be taken; its job id without dashes, as the tables have it."""
    answer = server.upload(picture, make_token(job, subject=subject))
    assert answer.status == 202, answer.body
    return str(answer.json()["job_id"]).replace("-", "")


class Row(tuple[Any, ...]):
    """A row of PostgreSQL with what `sqlite3.Row` can do."""

    names: tuple[str, ...]

    def keys(self) -> tuple[str, ...]:
        return self.names

    def __getitem__(self, which: Any) -> Any:
        return super().__getitem__(self.names.index(which) if isinstance(which, str) else which)


def _row_maker(cursor: "psycopg.Cursor[Any]") -> Any:
    names = tuple(column.name for column in cursor.description or ())
    return type("Named", (Row,), {"names": names})


def rows(server: Pixerve, query: str, *values: Any) -> list[Any]:
    """The answer of the server's database, opened for reading only."""
    url = server.env.get("PIXERVE_DATABASE_URL")
    if url:
        with psycopg.connect(url, row_factory=_row_maker) as postgres:
            return postgres.execute(query.replace("?", "%s"), values).fetchall()
    uri = f"file:{server.data / 'pixerve.sqlite3'}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=20)) as database:
        database.row_factory = sqlite3.Row
        return database.execute(query, values).fetchall()


def job_row(server: Pixerve, uid: str) -> Any:
    [row] = rows(server, "SELECT * FROM jobs_job WHERE uid = ?", uid)
    return row


def wait_ended(server: Pixerve, uids: Iterable[str], *, within_s: float = 60.0) -> None:
    """Until every job is over, by the table: the web process may be the one that was killed."""
    names = list(uids)

    def ended() -> bool:
        return all(job_row(server, uid)["state"] in ENDED for uid in names)

    wait_for(ended, within_s=within_s, what=f"the end of {len(names)} jobs", every_s=0.1)


def staged(server: Pixerve) -> set[str]:
    """The folders in staging by job id, without those that failed jobs keep for a replay."""
    kept = rows(server, "SELECT uid FROM jobs_job WHERE state = 'failed' AND has_source")
    there = {each.name for each in (server.data / "staging").iterdir()}
    return there - {str(uuid.UUID(str(row["uid"]))) for row in kept}


def check_ended_once_and_right(server: Pixerve, uids: Collection[str]) -> None:
    """Each job completed with one record, its files are whole, and staging holds none of it."""
    for uid in uids:
        job = job_row(server, uid)
        assert (job["state"], job["error_message"]) == ("completed", "")
        [[successes]] = rows(
            server, "SELECT count(*) FROM jobs_success WHERE job_id = ?", job["id"]
        )
        [[failures]] = rows(server, "SELECT count(*) FROM jobs_failure WHERE job_id = ?", job["id"])
        assert (successes, failures) == (1, 0)
        made = rows(server, "SELECT * FROM jobs_rendition WHERE job_id = ?", job["id"])
        assert len(made) == job["total"]
        for each in made:
            content = (server.serve_dir / each["key"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == each["sha256"]
            assert len(content) == each["bytes"]
    gone = {str(uuid.UUID(uid)) for uid in uids}
    wait_for(lambda: not gone & staged(server), within_s=30, what="clean staging")


def holder(server: Pixerve, uid: str) -> psutil.Process:
    """The worker that holds the job, once one does and has a converter child at work."""

    def look() -> psutil.Process | None:
        job = job_row(server, uid)
        assert job["state"] not in ENDED, f"over too soon: {job['state']} {job['error_message']}"
        if job["state"] != "processing":
            return None
        try:
            worker = psutil.Process(int(job["owner"].split("/")[1]))
            return worker if converter(worker) else None
        except psutil.NoSuchProcess:
            return None

    return wait_for(look, within_s=60, what=f"a worker on {uid}")


def converter(worker: psutil.Process) -> psutil.Process | None:
    """The worker's converter child."""
    found = [each for each in worker.children() if "encoders.child" in each.cmdline()]
    return found[0] if found else None


def converter_of(server: Pixerve, uid: str) -> psutil.Process:
    found = converter(holder(server, uid))
    assert found is not None
    return found


class Cast:
    """The processes of a running server by their parts in it."""

    def __init__(self, server: Pixerve) -> None:
        assert server.process is not None
        self.supervisor = psutil.Process(server.process.pid)
        self.web = self._part("pixerve_site.wsgi:application")
        self.cluster = self._part("cluster")
        self.clerk = self._part("clerk")
        [self.sentinel] = self.cluster.children()
        family = sorted(self.sentinel.children(), key=lambda each: (each.create_time(), each.pid))
        # django-q2 starts its workers first, then the monitor, then the pusher.
        *self.workers, self.monitor, self.pusher = family

    def _part(self, last_argument: str) -> psutil.Process:
        [found] = [
            each for each in self.supervisor.children() if each.cmdline()[-1:] == [last_argument]
        ]
        return found


def cast(server: Pixerve, *, workers: int) -> Cast:
    """The processes, once the cluster stands with all its workers."""

    def look() -> Cast | None:
        try:
            found = Cast(server)
        except (ValueError, psutil.NoSuchProcess):
            return None
        return found if len(found.workers) == workers else None

    return wait_for(look, what="a whole set of processes")


def family(server: Pixerve) -> list[psutil.Process]:
    """Every process of this server, wherever it hangs: their environment names its folder."""
    return [each for each in psutil.process_iter() if _mentions(each, str(server.folder))]


def _mentions(process: psutil.Process, text: str) -> bool:
    try:
        alive = process.status() != psutil.STATUS_ZOMBIE
        return alive and any(text in value for value in process.environ().values())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


@contextmanager
def held(server: Pixerve, mark: str) -> Iterator[str]:
    """One worker kept busy for the length of a `with`: its converter child stands still."""
    uid = post(server, another(SMALL, mark), slow_job(100), subject="holder")
    child = _stopped_child(server, uid)
    try:
        yield uid
    finally:
        child.resume()


def _stopped_child(server: Pixerve, uid: str) -> psutil.Process:
    child = converter_of(server, uid)
    child.suspend()
    assert job_row(server, uid)["state"] == "processing"
    return child
