"""Staging: one pass, durable, nothing left after a refusal, and a full disk is said so."""

import hashlib
import io
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from jobs import pipeline, staging
from jobs.errors import BadRequest, PayloadTooLarge, Unavailable, UnsupportedPicture
from jobs.incoming import Incoming
from jobs.models import Job
from tests.api.caller import Api, assert_problem, staged_folders, upload_token
from tests.jobs.making import DOT, HOPPER, make_job, picture, stage

Configure = Callable[..., None]


def test_one_pass_writes_and_hashes() -> None:
    incoming = Incoming("a b.jpg", limit=10_000)
    for start in range(0, len(HOPPER), 1000):
        incoming.write(HOPPER[start : start + 1000])
    staged = incoming.finish()
    assert staged.sha256 == hashlib.sha256(HOPPER).hexdigest()
    assert (staged.size, staged.source_format) == (len(HOPPER), "jpeg")
    assert (staged.uid, staged.upload_name) == (incoming.uid, "a b.jpg")
    assert staging.source_path(staged.uid).read_bytes() == HOPPER


@pytest.mark.parametrize("size", [1, 7, 255, 256, 257])
def test_the_type_is_told_whatever_the_chunks(size: int) -> None:
    incoming = Incoming("a", limit=10_000)
    for start in range(0, len(HOPPER), size):
        incoming.write(HOPPER[start : start + size])
    assert incoming.finish().source_format == "jpeg"


def test_what_is_no_picture_is_told_before_the_end() -> None:
    incoming = Incoming("a.jpg", limit=10_000)
    with pytest.raises(UnsupportedPicture):
        incoming.write(b"<html>" * 100)
    incoming.abort()
    assert staged_folders() == []


@pytest.mark.parametrize("content", [b"x", b"\xff\xd8", b"GIF8", b"RIFF\0\0\0\0WEB"])
def test_a_short_file_is_told_at_its_end(content: bytes) -> None:
    incoming = Incoming("a.jpg", limit=10_000)
    incoming.write(content)
    with pytest.raises(UnsupportedPicture):
        incoming.finish()
    incoming.abort()
    assert staged_folders() == []


def test_an_empty_file() -> None:
    incoming = Incoming("a.jpg", limit=10_000)
    with pytest.raises(BadRequest) as caught:
        incoming.finish()
    incoming.abort()
    assert caught.value.code == "empty_file"


@pytest.mark.parametrize(("limit", "fits"), [(len(DOT), True), (len(DOT) - 1, False)])
def test_the_limit(limit: int, fits: bool) -> None:
    incoming = Incoming("a.png", limit=limit)
    if fits:
        incoming.write(DOT)
        assert incoming.finish().size == limit
        return
    with pytest.raises(PayloadTooLarge) as caught:
        incoming.write(DOT)
    incoming.abort()
    assert str(limit) in caught.value.message
    assert staged_folders() == []


def test_abort_twice_is_fine() -> None:
    incoming = Incoming("a.png", limit=100)
    incoming.abort()
    incoming.abort()
    assert staged_folders() == []


def test_discarding_nothing_is_fine() -> None:
    staging.discard(uuid.uuid4())


def test_a_name_never_becomes_a_path() -> None:
    incoming = Incoming("../../../tmp/x", limit=1000)
    incoming.write(DOT)
    incoming.finish()
    (folder,) = staged_folders()
    assert folder.name == str(incoming.uid)
    assert [file.name for file in folder.iterdir()] == ["source"]


def test_what_else_lies_there_is_no_job(tmp_path: Path) -> None:
    Incoming("a.png", limit=100).abort()
    (staging.root() / "lost+found").mkdir()
    (staging.root() / "notes.txt").write_text("x")
    assert list(staging.folders()) == []


def test_free_space_is_told_before_the_first_upload() -> None:
    assert not staging.root().exists()
    assert staging.free_bytes() > 0


def test_less_room_than_is_asked_for_is_no_room(configure: Configure) -> None:
    configure(ready_free_bytes=1)
    staging.require_room()
    configure(ready_free_bytes=2**60)
    with pytest.raises(Unavailable) as caught:
        staging.require_room()
    assert (caught.value.code, caught.value.retry_after) == ("staging_full", 60)


def test_other_faults_of_the_machine_are_no_full_disk(tmp_path: Path) -> None:
    (tmp_path / "data" / "staging").write_text("a file where a folder should be")
    with pytest.raises(NotADirectoryError):
        Incoming("a.png", limit=100)


def test_what_later_claims_make_is_not_removed() -> None:
    uid = stage().uid
    for fence in (1, 2, 9, 10):
        staging.out_dir(uid, fence).mkdir()
    staging.keep_for_replay(uid, 2)
    left = {each.name for each in staging.folder(uid).iterdir()}
    assert left == {"source", "out.9", "out.10"}


# A full disk: a small tmpfs, so these run as root only.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a tmpfs with these options as the staging folder."""
    folder = tmp_path / "data" / "staging"
    mounted = []

    def mount(options: str) -> Path:
        folder.mkdir(parents=True)
        command = ["/bin/mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            pytest.skip("no right to mount a file system")
        mounted.append(folder)
        return folder

    yield mount
    for each in mounted:
        subprocess.run(["/bin/umount", "--lazy", str(each)], check=True)


def test_a_full_disk(small_disk: Callable[[str], Path]) -> None:
    small_disk("size=64k")
    incoming = Incoming("a.jpg", limit=10**6)
    with pytest.raises(Unavailable) as caught:
        incoming.write(HOPPER + bytes(200_000))
    incoming.abort()
    assert (caught.value.code, caught.value.retry_after) == ("staging_full", 60)
    assert staged_folders() == []


@pytest.mark.parametrize("inodes", [1, 2])
def test_a_disk_without_inodes(small_disk: Callable[[str], Path], inodes: int) -> None:
    small_disk(f"size=64k,nr_inodes={inodes}")
    with pytest.raises(Unavailable):
        Incoming("a.jpg", limit=10**6)
    assert staged_folders() == []


def test_an_upload_to_a_full_disk(small_disk: Callable[[str], Path], api: Api) -> None:
    small_disk("size=64k")
    answer = api.send(
        [("file", "a.png", picture(1)), ("file", "b.jpg", HOPPER + bytes(200_000))],
        upload_token(),
    )
    assert_problem(answer, 503, "staging_full")
    assert answer["Retry-After"] == "60"
    assert staged_folders() == []
    assert api.upload(picture(1)).status_code == 202


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["jpg", "png", "webp", "avif", "gif", "tiff", "original"])
def test_outputs_that_find_no_room_are_made_later(
    name: str, small_disk: Callable[[str], Path]
) -> None:
    """Whoever's encoder writes them, and however it says so."""
    folder = small_disk("size=256k")
    made = {"keepOriginal": True} if name == "original" else {"formats": {name: {}}}
    job = make_job("ann", HOPPER, {**made, "directHost": True})
    filler = fill(folder)
    pipeline.wake()
    job.refresh_from_db()
    assert (job.state, job.error_message) == ("pending", "")
    assert job.run_after > timezone.now()
    filler.unlink()
    Job.objects.update(run_after=timezone.now())
    pipeline.wake()
    job.refresh_from_db()
    assert (job.state, job.error_message) == ("completed", "")


class Unread(io.RawIOBase):
    """A body that must not be asked for."""

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("the body was read")


def test_an_upload_to_a_disk_that_is_nearly_full_is_refused_unread(
    api: Api, configure: Configure
) -> None:
    configure(ready_free_bytes=2**60)
    body = {
        "wsgi.input": Unread(),
        "CONTENT_LENGTH": "1000000",
        "CONTENT_TYPE": "multipart/form-data; boundary=edge",
    }
    answer = api.call("POST", "/upload", token=upload_token(), **body)
    assert_problem(answer, 503, "staging_full")
    assert answer["Retry-After"] == "60"
    # Nobody learns about the disk without a good token.
    assert_problem(api.call("POST", "/upload", token="x", **body), 401, "invalid_token")
    configure(ready_free_bytes=1)
    assert api.upload().status_code == 202


def test_readiness_looks_at_the_disk_of_staging(
    small_disk: Callable[[str], Path], api: Api, configure: Configure
) -> None:
    small_disk("size=64k")
    configure(ready_free_bytes=128 * 1024)
    assert api.get("/readyz").status_code == 503
    assert settings.PIXERVE.ready_free_bytes > staging.free_bytes()
