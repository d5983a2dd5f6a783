"""Writers, readers and removers of hosted files side by side."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from delivery.errors import DeliveryError
from delivery.hosting import HostedRoot
from tests.delivery.hosted import OTHER_FILE_SYSTEM, names, read, write


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
