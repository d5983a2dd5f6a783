"""The token of the documents gives exactly the files it promises."""

import hashlib

import pytest

from tests.server import EXAMPLE_JOB, IMAGES, Pixerve, make_token

PHOTO = (IMAGES / "imn_large.jpg").read_bytes()
SHA256 = hashlib.sha256(PHOTO).hexdigest()


@pytest.mark.parametrize(("keep_original", "count"), [(True, 5), (False, 4)])
def test_example_token_gives_its_files(server: Pixerve, keep_original: bool, count: int) -> None:
    token = make_token({**EXAMPLE_JOB, "keepOriginal": keep_original}, subject=f"s{count}")
    answer = server.upload(PHOTO, token)
    assert answer.status == 202, answer.body
    reference = answer.json()["hash"]
    assert reference.startswith(SHA256)
    expected = [
        f"{reference}_photo_600_800_.jpg",
        f"{reference}_photo_300_400_.jpg",
        f"{reference}_photo_800_800_.webp",
        f"{reference}_photo_400_400_.webp",
        f"{reference}_photo.jpg",
    ][:count]
    assert answer.json()["expected_files"] == expected

    end = server.wait_end(reference, token)

    assert end["state"] == "completed", end
    assert [file["name"] for file in end["files"]] == expected
    for file in end["files"]:
        got = server.get(f"/files/tenant-123/{file['name']}")
        assert hashlib.sha256(got.body).hexdigest() == file["sha256"]
    if keep_original:
        assert server.get(f"/files/tenant-123/{expected[-1]}").body == PHOTO
