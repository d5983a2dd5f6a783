"""Carrying side by side: threads are written off with their parcels, and no others."""

import hashlib
import threading
from pathlib import Path

from delivery.carrier import Carrier, Parcel
from tests.delivery.backends.stores import destination
from tests.delivery.peers import LOOPBACK, raw_peer
from tests.server import wait_for

EMPTY = hashlib.sha256().hexdigest()


def parcel(ident: int, source: Path, port: int) -> Parcel:
    """To an SFTP server at this port."""
    options = {"host": "127.0.0.1", "port": port, "user": "u", "timeout_s": 10}
    options["host_key"] = "SHA256:" + "A" * 43
    to = destination("sftp", options, {"password": "p"})
    return Parcel(ident, to, f"{ident}", source, 0, EMPTY, "image/webp")


def test_who_is_written_off_is_not_heard_of_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    source = tmp_path / "empty"
    source.touch()
    carrier = Carrier(1, LOOPBACK)
    called = threading.Event()

    def hang(_: object, stop: threading.Event) -> None:
        called.set()
        stop.wait()

    def ends(count: int) -> list[Parcel]:
        """So many that fail for want of a source."""
        found: list[Parcel] = []

        def look() -> bool:
            found.extend(each.parcel for each in carrier.finished())
            return len(found) >= count

        wait_for(look, what="ends")
        return found

    with raw_peer(hang) as port:
        stuck = parcel(1, source, port)
        carrier.send(stuck)
        assert called.wait(20)
        for ident in (2, 3):
            carrier.send(parcel(ident, tmp_path / "absent", port))
        assert carrier.finished() == []
        carrier.write_off([stuck])
        ended = ends(2)
        assert [each.ident for each in ended] == [2, 3]
        # What has ended already is not counted twice.
        carrier.write_off(ended)
        carrier.send(parcel(4, tmp_path / "absent", port))
        assert [each.ident for each in ends(1)] == [4]


def test_who_is_written_off_before_a_thread_has_it_is_not_sent(tmp_path: Path) -> None:
    source = tmp_path / "empty"
    source.touch()
    carrier = Carrier(1, LOOPBACK)
    calls: list[int] = []
    go_on = threading.Event()

    def refuse(_: object, stop: threading.Event) -> None:
        calls.append(1)
        while not (go_on.wait(0.05) or stop.is_set()):
            pass

    with raw_peer(refuse) as port:
        first, *queued = (parcel(ident, source, port) for ident in range(4))
        carrier.send(first)
        wait_for(lambda: calls, what="the first call")
        for each in queued:
            carrier.send(each)
        carrier.write_off(queued)
        go_on.set()
        wait_for(lambda: [each.parcel for each in carrier.finished()] == [first])
        last = parcel(9, tmp_path / "absent", port)
        carrier.send(last)
        wait_for(lambda: [each.parcel for each in carrier.finished()] == [last])
    assert len(calls) <= 2  # the last one's connection is made before its file is looked for
