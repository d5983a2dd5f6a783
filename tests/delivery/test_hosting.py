import errno
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from delivery.errors import DeliveryError, HostingFailed, NotHosted, PathRefused
from delivery.hosting import HostedRoot

# A place on another file system, so that no hard link is possible.
OTHER_FILE_SYSTEM = Path("/dev/shm")


@pytest.fixture
def hosted(tmp_path: Path) -> HostedRoot:
    return HostedRoot(tmp_path / "serve")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "source.jpg", b"first")


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def read(hosted: HostedRoot, path: str) -> bytes:
    with hosted.open(path) as handle:
        content = handle.file.read()
        assert handle.size == len(content)
    return content


def names(hosted: HostedRoot) -> list[str]:
    return sorted(str(path.relative_to(hosted.root)) for path in hosted.root.rglob("*"))


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# publish and open


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


# several at once


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


# ways out


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


# remove


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


# what a kill leaves

HALF = ".tmp-0123456789abcdef-0123456789abcdef"
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


def leave_temporary(folder: Path) -> Path:
    return write(folder / HALF, b"half")


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


# many at once


@contextmanager
def running(*works: Callable[[], None]) -> Iterator[None]:
    """Runs each work over and over in a thread; what one of them raises fails the test."""
    stop = threading.Event()
    raised: list[BaseException] = []

    def repeat(work: Callable[[], None]) -> None:
        try:
            while not stop.is_set():
                work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert raised == []


@pytest.mark.parametrize("across_file_systems", [False, True])
def test_readers_never_see_half_a_file(
    hosted: HostedRoot, tmp_path: Path, across_file_systems: bool
) -> None:
    folder = OTHER_FILE_SYSTEM if across_file_systems else tmp_path
    contents = [bytes([65 + n]) * (200_000 + n * 50_000) for n in range(4)]
    sources = [
        write(folder / f"hosting-test-{os.getpid()}-{n}", content)
        for n, content in enumerate(contents)
    ]
    seen: set[int] = set()

    def look() -> None:
        content = read(hosted, "sub/a.jpg")
        assert content in contents
        seen.add(content[0])

    try:
        hosted.publish(sources[0], "sub/a.jpg")
        ends = time.monotonic() + 30
        with running(*[look] * 6):
            rounds = 0
            while (rounds < 20 or len(seen) < 4) and time.monotonic() < ends:
                hosted.publish(sources[rounds % 4], "sub/a.jpg")
                rounds += 1
    finally:
        for source in sources:
            source.unlink()
    assert len(seen) == 4
    assert names(hosted) == ["sub", "sub/a.jpg"]


def test_publish_survives_removers_that_prune_its_folders(hosted: HostedRoot, source: Path) -> None:
    hosted.publish(source, "a/b/c/0.jpg")

    def prune() -> None:
        hosted.publish(source, "a/b/c/other.jpg")
        hosted.remove("a/b/c/other.jpg")
        hosted.sweep(3600)

    with running(prune, prune, prune):
        for number in range(150):
            path = f"a/b/c/{number}.jpg"
            hosted.publish(source, path)
            assert read(hosted, path) == b"first"
            assert hosted.remove(path)


def test_a_folder_swapped_for_a_link_leads_nowhere(
    hosted: HostedRoot, source: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    hosted.root.mkdir()
    folder, link = hosted.root / "a", tmp_path / "link"
    link.symlink_to(outside)

    def swap() -> None:
        with suppress(OSError):
            folder.rename(tmp_path / "aside")
        with suppress(OSError):
            link.rename(folder)
        with suppress(OSError):
            folder.rename(link)
        with suppress(OSError):
            (tmp_path / "aside").rename(folder)

    with running(swap):
        for _ in range(300):
            with suppress(DeliveryError):
                hosted.publish(source, "a/x.jpg")
    assert list(outside.iterdir()) == []
