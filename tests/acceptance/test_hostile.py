"""Pictures that mean harm, over HTTP: each job fails with its reason and the server goes on."""

import hashlib

import pytest

from tests.encoders import hostile, strangers
from tests.server import IMAGES, Pixerve, make_token

JOB = {
    "formats": {"jpg": {"sizes": [[60]]}, "avif": {"settings": {"speed": 10}, "sizes": [[60]]}},
    "directHost": True,
    "subDir": "hostile",
}
FAIL = [
    "png bomb",
    "apng with more frames than told",
    "jpeg of 100000 scans",
    "gif of a million frames",
    "webp with wild code tables",
    "tiff with a circle of pages",
    "avif with 65535 places",
    "heic of boxes in boxes",
]


def workers(server: Pixerve) -> set[int]:
    """All processes but the children that handle pixels, which may be replaced."""
    return {
        pid for pid, each in server.processes().items() if "encoders.child" not in each.cmdline()
    }


def test_jobs_fail_with_their_reason_and_nothing_else_happens(server: Pixerve) -> None:
    token = make_token(JOB, subject="mallory")
    before = workers(server)
    for name in FAIL:
        make, code = hostile.REFUSED[name]
        data = make()
        answer = server.upload(data, token, name="holiday.jpg")
        assert answer.status == 202, answer.body
        end = server.wait_end(hashlib.sha256(data).hexdigest(), token)
        assert (end["state"], name) == ("failed", name)
        record = server.get(f"/failures?hash={answer.json()['hash']}", token=token).json()
        assert record["error"].startswith(f"{code}: "), name
        job = server.data / "staging" / answer.json()["job_id"]
        assert [path.name for path in job.iterdir()] == ["source"]
    good = (IMAGES / "pil_hopper.jpg").read_bytes()
    assert server.upload(good, token, name="fine.jpg").status == 202
    assert server.wait_end(hashlib.sha256(good).hexdigest(), token)["state"] == "completed"
    assert workers(server) == before


@pytest.mark.parametrize("name", ["mvg", "svg", "pdf", "html", "zip"])
def test_what_is_no_picture_is_not_taken(name: str, server: Pixerve) -> None:
    answer = server.upload(strangers.STRANGERS[name], make_token(JOB), name="photo.jpg")
    assert (answer.status, answer.json()["code"]) == (415, "unsupported_type")


def test_a_polyglot_is_hosted_without_its_other_half(server: Pixerve) -> None:
    token = make_token(JOB, subject="mallory")
    data = strangers.POLYGLOTS["jpeg with a zip behind"]()
    reference = server.upload(data, token, name="x.php.jpg").json()["hash"]
    assert server.wait_end(reference, token)["state"] == "completed"
    hosted = [path for path in (server.serve_dir / "hostile").iterdir() if reference in path.name]
    assert len(hosted) == 2
    for path in hosted:
        assert b"script" not in path.read_bytes()
