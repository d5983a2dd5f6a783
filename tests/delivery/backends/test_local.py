"""Folders of this machine: below the operator's roots, whole files, no way out."""

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from delivery.backends.errors import (
    AccessDenied,
    BadOptions,
    ChecksumMismatch,
    InTheWay,
    NoObject,
    StoreFull,
    StoreUnavailable,
)
from delivery.backends.local import _meaning
from delivery.destination import Destination
from delivery.errors import PathRefused
from tests.delivery.backends.stores import destination, opened, put

Picture = Callable[[bytes], Path]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    found = tmp_path / "allowed"
    found.mkdir()
    return found


def local(folder: Path, *roots: Path, **options: str) -> Destination:
    return destination("local", {"root": str(folder), **options}, local_roots=roots)


def test_what_arrives_is_what_was_sent(root: Path, picture: Picture) -> None:
    to = local(root / "site", root, public_url="https://files.example/")
    with opened(to) as store:
        stored = put(store, "tenant/a.webp", picture(b"picture"))
        assert store.read("tenant/a.webp", 3) == b"pic"
        assert store.exists("tenant/a.webp")
        assert store.url("tenant/a.webp", expires_s=60) is None
        assert (root / "site/tenant/a.webp").read_bytes() == b"picture"
        assert stored.checksum == f"sha256:{hashlib.sha256(b'picture').hexdigest()}"
        assert (stored.bytes, stored.url) == (7, "https://files.example/tenant/a.webp")
        store.delete("tenant/a.webp")
        store.delete("tenant/a.webp")
        assert not store.exists("tenant/a.webp")
        with pytest.raises(NoObject):
            store.read("tenant/a.webp", 1)


def test_a_probe_leaves_nothing(root: Path) -> None:
    with opened(local(root, root)) as store:
        store.probe()
    assert list(root.iterdir()) == []


def test_folders_outside_the_roots_are_refused(root: Path, tmp_path: Path) -> None:
    (root / "way-out").symlink_to(tmp_path)
    refused = (tmp_path, root / "..", root / "way-out", root / "way-out/x", Path("/etc"))
    for folder in refused:
        with pytest.raises(BadOptions, match="PIXERVE_LOCAL_ROOTS"):
            opened(local(folder, root))
    with pytest.raises(BadOptions, match="PIXERVE_LOCAL_ROOTS"):
        opened(local(root))


def test_no_key_leads_out(root: Path, tmp_path: Path, picture: Picture) -> None:
    (root / "link").symlink_to(tmp_path)
    with opened(local(root, root)) as store:
        for key in ("../a", "/etc/a", "link/a", "a/../../b", ".hidden"):
            with pytest.raises(PathRefused):
                put(store, key, picture(b"1"))


def test_a_file_that_is_not_the_announced_one(root: Path, picture: Picture) -> None:
    with opened(local(root, root)) as store, pytest.raises(ChecksumMismatch):
        put(store, "a", picture(b"1"), sha256="0" * 64)
    assert list(root.iterdir()) == []


def test_a_file_in_the_way_is_named_and_may_be_moved(root: Path, picture: Picture) -> None:
    (root / "site").write_text("in the way")
    for folder in ("site", "site/deeper"):
        with opened(local(root / folder, root)) as store:
            with pytest.raises(InTheWay, match="a file stands where") as caught:
                put(store, "a", picture(b"1"))
            assert not caught.value.permanent
    (root / "site").unlink()
    with opened(local(root / "site", root)) as store:
        put(store, "a", picture(b"1"))


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EACCES, AccessDenied),
        (errno.EROFS, AccessDenied),
        (errno.EIO, StoreUnavailable),
    ],
)
def test_what_the_file_system_says(number: int, error: type[Exception]) -> None:
    assert type(_meaning(OSError(number, os.strerror(number)), "why")) is error
