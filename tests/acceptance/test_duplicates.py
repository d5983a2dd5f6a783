"""One content, several uploads: in flight once a subject, a name for each, the newest wins."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.acceptance.evidence import QUICK_JOB, SMALL, another, held, rows, staged
from tests.server import Answer, Pixerve, make_token, wait_for

AT_ONCE = 50


def all_at_once(server: Pixerve, picture: bytes, subjects: list[str]) -> list[Answer]:
    tokens = [make_token(QUICK_JOB, subject=subject) for subject in subjects]
    with ThreadPoolExecutor(len(tokens)) as pool:
        return list(pool.map(lambda token: server.upload(picture, token), tokens))


def test_fifty_at_once_make_one_job(single: Pixerve) -> None:
    picture = another(SMALL, "fifty")
    sha256 = hashlib.sha256(picture).hexdigest()
    with held(single, "duplicates"):
        answers = all_at_once(single, picture, ["alice"] * AT_ONCE + ["bob"])
        *mine, other = answers
        taken = [answer for answer in mine if answer.status == 202]
        refused = [answer.json() for answer in mine if answer.status != 202]
        waiting = rows(single, "SELECT uid FROM jobs_job WHERE sha256 = ?", sha256)

    assert len(taken) == 1
    assert [answer["status"] for answer in refused] == [409] * (AT_ONCE - 1)
    assert {answer["code"] for answer in refused} == {"duplicate_in_flight"}
    assert other.status == 202
    assert {taken[0].json()["hash"], other.json()["hash"]} == {sha256, f"{sha256}_1"}
    assert len(waiting) == 2
    for answer in (taken[0], other):
        reference = answer.json()["hash"]
        assert single.wait_end(reference)["state"] == "completed"
        [name] = answer.json()["expected_files"]
        assert name.startswith(f"{reference}_photo")
        assert single.get(f"/files/{name}").status == 200
    wait_for(lambda: not staged(single), what="clean staging")


def test_a_hash_with_a_token_means_my_job(single: Pixerve) -> None:
    picture = another(SMALL, "mine")
    sha256 = hashlib.sha256(picture).hexdigest()
    first, second = all_in_turn(single, picture, ["carol", "dave"])
    assert (first["hash"], second["hash"]) == (sha256, f"{sha256}_1")
    for answer, subject in ((first, "carol"), (second, "dave")):
        status = single.status(sha256, make_token(subject=subject))
        assert status["job_id"] == answer["job_id"]
    assert single.status(sha256)["job_id"] == first["job_id"]


def all_in_turn(server: Pixerve, picture: bytes, subjects: list[str]) -> list[dict[str, Any]]:
    answers = [
        server.upload(picture, make_token(QUICK_JOB, subject=subject)).json()
        for subject in subjects
    ]
    for answer in answers:
        assert server.wait_end(answer["hash"])["state"] == "completed"
    return answers


def test_the_same_subject_replaces_its_outputs(single: Pixerve) -> None:
    picture = another(SMALL, "again")
    token = make_token(QUICK_JOB, subject="erin")
    worse = {"jpg": {"settings": {"quality": 5}, "sizes": [[64]]}}
    reference = single.upload(picture, token).json()["hash"]
    before = single.wait_end(reference, token)

    again = single.upload(picture, make_token({**QUICK_JOB, "formats": worse}, subject="erin"))

    assert again.status == 202
    assert again.json()["hash"] == reference
    after = single.wait_end(reference, token)
    assert after["job_id"] == again.json()["job_id"] != before["job_id"]
    [old], [new] = before["files"], after["files"]
    assert old["name"] == new["name"]
    got = single.get(f"/files/{new['name']}")
    assert hashlib.sha256(got.body).hexdigest() == new["sha256"] != old["sha256"]
    assert got.headers["ETag"] == f'"{new["sha256"]}"'
    made = rows(
        single, "SELECT superseded FROM jobs_rendition WHERE name = ? ORDER BY id", new["name"]
    )
    assert [row["superseded"] for row in made] == [1, 0]
