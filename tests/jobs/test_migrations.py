"""A database of the version before keeps its callbacks."""

import json
import sqlite3
import uuid
from pathlib import Path

from tests.server import Pixerve, free_port

MESSAGES = [uuid.uuid4().hex for _ in range(3)]


def fill(path: Path) -> None:
    """One job with three callbacks, as 0001 knew them."""
    now = "2026-11-21 08:00:00"
    with sqlite3.connect(path) as database:
        columns = database.execute("PRAGMA table_info(jobs_job)").fetchall()
        job = {
            name: "[]" if name == "warnings" else "{}" if name in {"spec", "timings"} else 0
            for _, name, *_ in columns
        }
        job |= {"id": 1, "uid": uuid.uuid4().hex, "subject": "alice", "reference_id": "ref"}
        job |= dict.fromkeys(["run_after", "created_at", "updated_at"], now)
        job |= dict.fromkeys(["owner", "stage", "sealed_headers", "error_code"], "")
        job |= {"state": "completed", "claimed_at": now, "finished_at": now}
        database.execute("INSERT INTO jobs_reference VALUES ('ref', 'ref', 'alice')")
        marks = ", ".join(f":{name}" for name in job)
        into = f"INSERT INTO jobs_job ({', '.join(job)}) VALUES ({marks})"  # noqa: S608
        database.execute(into, job)
        database.executemany(
            "INSERT INTO jobs_callback (message_id, event, url, sealed_headers, payload, state,"
            " attempts_made, next_at, fence, owner, created_at, job_id) VALUES"
            " (?, 'job.failed', 'https://a.example/', '', ?, 'waiting', 1, ?, 0, '', ?, 1)",
            [(each, json.dumps({"hash": each}), now, now) for each in MESSAGES],
        )


def test_callbacks_become_events(tmp_path: Path) -> None:
    server = Pixerve(tmp_path, free_port())
    path = server.data / "pixerve.sqlite3"
    assert server.manage("migrate", "jobs", "0001").returncode == 0
    fill(path)
    done = server.manage("migrate", "jobs", "0002")
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(path) as database:
        found = database.execute(
            "SELECT e.message_id, e.type, e.subject, e.payload, e.id, c.state, c.attempts_made,"
            " c.attempts_before FROM jobs_callback c JOIN jobs_event e ON e.id = c.event_id"
            " ORDER BY c.id"
        ).fetchall()
    assert found == [
        (each, "job.failed", "alice", json.dumps({"hash": each}), number, "waiting", 1, 0)
        for number, each in enumerate(MESSAGES, 1)
    ]
