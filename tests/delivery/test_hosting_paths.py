"""No path and no link leads out of a hosted root, and what fails leaves nothing behind."""

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from delivery.errors import DeliveryError, HostingFailed, NotHosted, PathRefused
from delivery.hosting import HostedRoot
from tests.delivery.hosted import (
    OTHER_FILE_SYSTEM,
    names,
    open_descriptors,
    read,
    write,
)

BAD_PATHS = [
    "",
    "/",
    "/etc/passwd",
    "//a.jpg",
    "..",
    "../a.jpg",
    "sub/../../a.jpg",
    "sub/..",
    ".",
    "./a.jpg",
    "sub/./a.jpg",
    "sub//a.jpg",
    "sub/",
    ".hidden",
    ".tmp-0123456789abcdef",
    "sub/.htaccess",
    ".git/config",
    "...",
    "a\x00.jpg",
    "a\n.jpg",
    "a\x7f.jpg",
    "sub\\a.jpg",
    "..\\a.jpg",
    "C:\\a.jpg",
    "a\udcff.jpg",
    "a\u202egpj.exe",
    "a" * 256,
    "ü" * 128,
    "a" * 256 + "/a.jpg",
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_that_is_not_plain_is_refused(
    hosted: HostedRoot, source: Path, tmp_path: Path, path: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PathRefused) as caught:
        hosted.publish(source, path)
    assert caught.value.permanent
    with pytest.raises(PathRefused):
        hosted.remove(path)
    with pytest.raises(NotHosted):
        hosted.open(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_longest_names_pass(hosted: HostedRoot, source: Path) -> None:
    path = "a" * 255 + "/" + "ü" * 127
    hosted.publish(source, path)
    assert read(hosted, path) == b"first"


@pytest.mark.parametrize("goal", ["outside", "serve/inside"])
def test_a_linked_folder_is_no_way(
    hosted: HostedRoot, source: Path, tmp_path: Path, goal: str
) -> None:
    hosted.publish(source, "real/a.jpg")
    target = tmp_path / goal
    target.mkdir()
    write(target / "secret", b"secret")
    (hosted.root / "link").symlink_to(target)
    (hosted.root / "real/link").symlink_to(target)
    for path in ("link/secret", "real/link/secret"):
        with pytest.raises(PathRefused):
            hosted.publish(source, path)
        with pytest.raises(PathRefused):
            hosted.remove(path)
        with pytest.raises(NotHosted):
            hosted.open(path)
    assert (target / "secret").read_bytes() == b"secret"
    assert [path.name for path in target.iterdir()] == ["secret"]


def test_a_linked_file_is_not_hosted(hosted: HostedRoot, source: Path, tmp_path: Path) -> None:
    secret = write(tmp_path / "secret", b"secret")
    hosted.publish(source, "a.jpg")
    (hosted.root / "link").symlink_to(secret)
    (hosted.root / "inner").symlink_to("a.jpg")
    for path in ("link", "inner"):
        with pytest.raises(NotHosted):
            hosted.open(path)


def test_publishing_over_a_link_replaces_the_link(
    hosted: HostedRoot, source: Path, tmp_path: Path
) -> None:
    secret = write(tmp_path / "secret", b"secret")
    hosted.root.mkdir()
    (hosted.root / "a.jpg").symlink_to(secret)
    hosted.publish(source, "a.jpg")
    assert secret.read_bytes() == b"secret"
    assert not (hosted.root / "a.jpg").is_symlink()


def test_removing_a_link_keeps_its_goal(hosted: HostedRoot, tmp_path: Path) -> None:
    secret = write(tmp_path / "secret", b"secret")
    hosted.root.mkdir()
    (hosted.root / "a.jpg").symlink_to(secret)
    assert hosted.remove("a.jpg")
    assert secret.exists()


def test_a_linked_source_is_refused(hosted: HostedRoot, source: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(source)
    for bad_source in (link, tmp_path, tmp_path / "missing"):
        with pytest.raises(HostingFailed):
            hosted.publish(bad_source, "a.jpg")
    with pytest.raises(NotHosted):
        hosted.open("a.jpg")


def test_only_regular_files_are_opened(hosted: HostedRoot, source: Path) -> None:
    hosted.publish(source, "folder/a.jpg")
    os.mkfifo(hosted.root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(hosted.root / "socket"))
    for path in ("folder", "fifo", "socket", "missing", "missing/a.jpg", "folder/a.jpg/b"):
        with pytest.raises(NotHosted):
            hosted.open(path)


def test_a_file_is_no_folder_and_a_folder_no_file(hosted: HostedRoot, source: Path) -> None:
    hosted.publish(source, "folder/a.jpg")
    for path in ("folder", "folder/a.jpg/b.jpg"):
        with pytest.raises(PathRefused):
            hosted.publish(source, path)
    assert not hosted.remove("folder")
    assert names(hosted) == ["folder", "folder/a.jpg"]


def test_errors_show_no_path_of_the_machine(hosted: HostedRoot, tmp_path: Path) -> None:
    with pytest.raises(HostingFailed) as caught:
        hosted.publish(tmp_path / "missing", "a.jpg")
    assert str(caught.value) == "hosting_failed: No such file or directory"


def test_a_full_disk_leaves_nothing_behind(hosted: HostedRoot, tmp_path: Path) -> None:
    import resource

    source = write(tmp_path / "big", b"x" * 2_000_000)
    if OTHER_FILE_SYSTEM.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs two file systems, for a copy")
    hosted = HostedRoot(OTHER_FILE_SYSTEM / f"hosting-root-{os.getpid()}")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(HostingFailed, match=os.strerror(errno.EFBIG)):
            hosted.publish(source, "sub/a.jpg")
        assert names(hosted) == ["sub"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        (hosted.root / "sub").rmdir()
        hosted.root.rmdir()


def test_no_descriptor_stays_open(hosted: HostedRoot, source: Path) -> None:
    before = open_descriptors()
    hosted.publish(source, "a/b/c.jpg")
    for path in ("a/b/c.jpg", "a", "a/x/y.jpg", "a/b/c.jpg/d", "../x"):
        with suppress(DeliveryError):
            hosted.open(path).close()
        with suppress(DeliveryError):
            hosted.publish(source, path)
    hosted.remove("a/b/c.jpg")
    hosted.sweep(0)
    assert open_descriptors() == before
