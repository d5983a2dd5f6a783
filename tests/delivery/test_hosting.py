"""Hosted files: they appear whole, are replaced, removed and swept."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from delivery.errors import HostingFailed, PathRefused
from delivery.hosting import HostedRoot
from tests.delivery.hosted import (
    HALF,
    OTHER_FILE_SYSTEM,
    leave_temporary,
    names,
    open_descriptors,
    read,
    write,
)

# --- publish and open


def test_what_is_published_can_be_opened(hosted: HostedRoot, source: Path) -> None:
    hosted.publish(source, "tenant/2024/picture.jpg")
    assert read(hosted, "tenant/2024/picture.jpg") == b"first"
    assert names(hosted) == ["tenant", "tenant/2024", "tenant/2024/picture.jpg"]
    assert source.read_bytes() == b"first"


def test_a_path_without_folder(hosted: HostedRoot, source: Path) -> None:
    hosted.publish(source, "picture.jpg")
    assert read(hosted, "picture.jpg") == b"first"


def test_a_handle_knows_size_and_time(hosted: HostedRoot, source: Path) -> None:
    os.utime(source, ns=(1, 1_700_000_000_123_456_789))
    hosted.publish(source, "a.jpg")
    with hosted.open("a.jpg") as handle:
        expected = (hosted.root / "a.jpg").stat()
        assert (handle.size, handle.mtime_ns) == (5, expected.st_mtime_ns)
    assert handle.file.closed


def test_a_hosted_file_is_readable_by_a_web_server(hosted: HostedRoot, source: Path) -> None:
    hosted.publish(source, "a.jpg")
    assert stat.S_IMODE((hosted.root / "a.jpg").stat().st_mode) == 0o644


def test_a_new_file_replaces_the_old_one(hosted: HostedRoot, tmp_path: Path) -> None:
    hosted.publish(write(tmp_path / "1", b"old"), "a.jpg")
    with hosted.open("a.jpg") as before:
        hosted.publish(write(tmp_path / "2", b"newer"), "a.jpg")
        assert before.file.read() == b"old"
    assert read(hosted, "a.jpg") == b"newer"
    assert names(hosted) == ["a.jpg"]


def test_the_same_file_twice_leaves_no_temporary_name(hosted: HostedRoot, source: Path) -> None:
    hosted.publish(source, "a.jpg")
    hosted.publish(source, "a.jpg")
    assert names(hosted) == ["a.jpg"]


def test_the_source_may_go_after_publishing(hosted: HostedRoot, source: Path) -> None:
    hosted.publish(source, "a.jpg")
    source.unlink()
    assert read(hosted, "a.jpg") == b"first"


def test_a_link_is_made_where_possible(hosted: HostedRoot, source: Path) -> None:
    hosted.publish(source, "a.jpg")
    assert (hosted.root / "a.jpg").samefile(source)


def test_another_file_system_gets_a_copy(hosted: HostedRoot, tmp_path: Path) -> None:
    if OTHER_FILE_SYSTEM.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs two file systems")
    content = os.urandom(3_000_000)
    source = write(OTHER_FILE_SYSTEM / f"hosting-test-{os.getpid()}", content)
    try:
        hosted.publish(source, "sub/a.jpg")
    finally:
        source.unlink()
    assert read(hosted, "sub/a.jpg") == content
    assert names(hosted) == ["sub", "sub/a.jpg"]
    assert stat.S_IMODE((hosted.root / "sub/a.jpg").stat().st_mode) == 0o644


def test_names_may_be_international(hosted: HostedRoot, source: Path) -> None:
    hosted.publish(source, "мандант/bücher 1.jpg")
    assert read(hosted, "мандант/bücher 1.jpg") == b"first"


def test_the_root_itself_may_be_a_link(tmp_path: Path, source: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    hosted = HostedRoot(tmp_path / "link")
    hosted.publish(source, "sub/a.jpg")
    assert (tmp_path / "real/sub/a.jpg").read_bytes() == b"first"
    assert read(hosted, "sub/a.jpg") == b"first"
    leave_temporary(tmp_path / "real/sub")
    assert hosted.sweep(-60) == 1
    assert hosted.remove("sub/a.jpg")
    assert names(hosted) == []


# --- several at once


def test_several_files_appear_in_their_folder(hosted: HostedRoot, tmp_path: Path) -> None:
    sources = {f"{n}.jpg": write(tmp_path / f"source {n}", b"x" * n) for n in range(1, 4)}
    placed = hosted.publish_all("a/b", sources)
    assert names(hosted) == ["a", "a/b", "a/b/1.jpg", "a/b/2.jpg", "a/b/3.jpg"]
    for name, source in sources.items():
        status = (hosted.root / "a/b" / name).stat()
        assert placed[name] == (status.st_size, status.st_mtime_ns)
        assert read(hosted, f"a/b/{name}") == source.read_bytes()


def test_several_files_may_be_in_the_root(hosted: HostedRoot, source: Path) -> None:
    hosted.publish_all("", {"a.jpg": source, "b.jpg": source})
    assert names(hosted) == ["a.jpg", "b.jpg"]


def test_several_files_replace_what_was_there(hosted: HostedRoot, tmp_path: Path) -> None:
    hosted.publish(write(tmp_path / "old", b"old"), "sub/a.jpg")
    new = write(tmp_path / "new", b"newer")
    placed = hosted.publish_all("sub", {"a.jpg": new, "b.jpg": new})
    assert placed["a.jpg"].size == len(read(hosted, "sub/a.jpg")) == 5
    assert names(hosted) == ["sub", "sub/a.jpg", "sub/b.jpg"]


def test_whoever_watches_may_stop_between_files(hosted: HostedRoot, source: Path) -> None:
    calls = []

    def watch() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    before = open_descriptors()
    with pytest.raises(KeyboardInterrupt):
        hosted.publish_all("sub", {"a.jpg": source, "b.jpg": source}, on_each=watch)
    assert names(hosted) == ["sub", "sub/a.jpg"]
    assert open_descriptors() == before


def test_one_missing_file_among_several(hosted: HostedRoot, source: Path, tmp_path: Path) -> None:
    with pytest.raises(HostingFailed, match="No such file"):
        hosted.publish_all("sub", {"a.jpg": source, "b.jpg": tmp_path / "missing"})
    assert names(hosted) == ["sub", "sub/a.jpg"]


@pytest.mark.parametrize(("folder", "name"), [("..", "a"), ("/", "a"), ("a", "b/c"), ("a", "..")])
def test_several_files_find_no_way_out(
    hosted: HostedRoot, source: Path, folder: str, name: str
) -> None:
    with pytest.raises(PathRefused):
        hosted.publish_all(folder, {name: source})
    assert not hosted.root.exists()


# --- remove


def test_remove_takes_empty_folders_along(hosted: HostedRoot, source: Path) -> None:
    hosted.publish(source, "a/b/c/1.jpg")
    hosted.publish(source, "a/2.jpg")
    assert hosted.remove("a/b/c/1.jpg")
    assert names(hosted) == ["a", "a/2.jpg"]
    assert hosted.remove("a/2.jpg")
    assert names(hosted) == []
    assert hosted.root.is_dir()


def test_removing_what_is_not_there(hosted: HostedRoot, source: Path) -> None:
    assert not hosted.remove("a.jpg")
    hosted.publish(source, "a/b.jpg")
    for path in ("c.jpg", "a/c.jpg", "c/b.jpg", "a"):
        assert not hosted.remove(path)
    assert names(hosted) == ["a", "a/b.jpg"]


# --- what a kill leaves

KILLED = """
import os, sys
from pathlib import Path
from delivery.hosting import HostedRoot
os.replace = lambda *_, **__: os._exit(9)
HostedRoot(Path(sys.argv[1])).publish(Path(sys.argv[2]), sys.argv[3])
"""


def test_what_a_killed_publish_left_is_found_by_its_path(hosted: HostedRoot, source: Path) -> None:
    for path in ("a/1.jpg", "a/2.jpg"):
        hosted.publish(source, path)
        kill = [sys.executable, "-c", KILLED, str(hosted.root), str(source), path]
        assert subprocess.run(kill, check=False).returncode == 9
    assert len(names(hosted)) == 5
    assert hosted.clean("a/1.jpg") == 1
    assert hosted.clean("a/1.jpg") == hosted.clean("b/1.jpg") == 0
    assert len([each for each in names(hosted) if ".tmp-" in each]) == 1
    assert hosted.clean("a/2.jpg") == 1
    assert names(hosted) == ["a", "a/1.jpg", "a/2.jpg"]


def test_sweep_removes_old_temporary_files_and_nothing_else(
    hosted: HostedRoot, source: Path
) -> None:
    hosted.publish(source, "a/b/1.jpg")
    hosted.publish(source, "c/2.jpg")
    hosted.remove("c/2.jpg")
    (hosted.root / "c").mkdir()
    for folder in ("", "a", "a/b", "c"):
        leave_temporary(hosted.root / folder)
    write(hosted.root / ".keep", b"")
    write(hosted.root / ".tmp-of-somebody-else", b"")
    assert hosted.sweep(3600) == 0
    assert hosted.sweep(-60) == 4
    assert names(hosted) == [".keep", ".tmp-of-somebody-else", "a", "a/b", "a/b/1.jpg"]


def test_sweep_goes_by_the_time_of_linking(hosted: HostedRoot, source: Path) -> None:
    os.utime(source, (0, 0))
    hosted.root.mkdir()
    os.link(source, hosted.root / HALF)
    assert hosted.sweep(3600) == 0


def test_sweep_follows_no_link(hosted: HostedRoot, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    leave_temporary(outside)
    hosted.root.mkdir()
    (hosted.root / "link").symlink_to(outside)
    assert hosted.sweep(-60) == 0
    assert len(list(outside.iterdir())) == 1


def test_sweep_without_a_root(hosted: HostedRoot) -> None:
    assert hosted.sweep(0) == 0
