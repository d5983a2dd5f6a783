"""SFTP against a real sshd: by key and by password, to the pinned host only, and nothing half."""

import hashlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from delivery.backends import sftp_store
from delivery.backends.errors import (
    AccessDenied,
    AuthFailed,
    BadHostKey,
    BadOptions,
    InTheWay,
    NoBucket,
    NoObject,
    StoreFull,
    StoreUnavailable,
)
from delivery.destination import Destination
from delivery.errors import AddressRefused, DeliveryError, TimedOut
from tests.delivery.backends.stores import PUBLIC_ONLY, destination, opened, probe_fails, put
from tests.delivery.peers import closed_port, raw_peer
from tests.peers import ssh
from tests.peers.wires import tapped

Picture = Callable[[bytes], Path]


@dataclass(frozen=True)
class Folder:
    sshd: ssh.Sshd
    root: Path

    def destination(self, **given: Any) -> Destination:
        options = {
            "host": "127.0.0.1",
            "port": self.sshd.port,
            "user": self.sshd.user,
            "host_key": self.sshd.host_key(),
            "root": str(self.root),
            "timeout_s": 5,
        }
        secret = given.pop("secret", {"private_key": self.sshd.private_key})
        guarded = given.pop("guarded", False)
        return destination("sftp", options | given, secret, guarded=guarded)

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*"))


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ssh.Sshd]:
    if reason := ssh.missing():
        pytest.skip(reason)
    with ssh.running(tmp_path_factory.mktemp("sshd")) as found:
        yield found


@pytest.fixture
def folder(sshd: ssh.Sshd, tmp_path: Path) -> Folder:
    root = tmp_path / "root"
    root.mkdir()
    return Folder(sshd, root)


def test_what_arrives_is_what_was_sent(folder: Folder, picture: Picture) -> None:
    content = os.urandom(300_000)
    with opened(folder.destination(public_url="https://files.example")) as store:
        stored = put(store, "tenant/deep/a.webp", picture(content))
        assert store.read("tenant/deep/a.webp", 10) == content[:10]
        assert folder.files() == ["tenant", "tenant/deep", "tenant/deep/a.webp"]
    assert (folder.root / "tenant/deep/a.webp").read_bytes() == content
    assert stored.bytes == len(content)
    assert stored.checksum == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert stored.url == "https://files.example/tenant/deep/a.webp"


def test_exists_delete_and_a_second_put(folder: Folder, picture: Picture) -> None:
    with opened(folder.destination(read_back=False)) as store:
        assert not store.exists("a")
        assert put(store, "a", picture(b"longer")).checksum == "size:6"
        put(store, "a", picture(b""))
        assert (folder.root / "a").read_bytes() == b""
        assert store.exists("a")
        store.delete("a")
        store.delete("a")
        with pytest.raises(NoObject):
            store.read("a", 1)
        assert store.url("a", expires_s=None) is None


def test_a_probe_leaves_nothing(folder: Folder) -> None:
    with opened(folder.destination()) as store:
        store.probe()
    assert folder.files() == []


def test_readers_never_see_half_a_file(folder: Folder, picture: Picture) -> None:
    target, seen, done = folder.root / "a", set(), threading.Event()
    contents = [bytes([number]) * 400_000 for number in range(6)]
    target.write_bytes(contents[0])

    def look() -> None:
        while not done.is_set():
            seen.add(target.read_bytes())

    reader = threading.Thread(target=look)
    reader.start()
    try:
        with opened(folder.destination()) as store:
            for content in contents:
                put(store, "a", picture(content))
    finally:
        done.set()
        reader.join()
    assert seen <= set(contents)


# --- who we are, and who they are


def test_a_password(folder: Folder, picture: Picture) -> None:
    if not folder.sshd.home:
        pytest.skip("a user with a password needs root and libnss-wrapper")
    secret = {"password": ssh.PASSWORD}
    with opened(folder.destination(user=ssh.MADE_UP, secret=secret, root=".")) as store:
        put(store, "a", picture(b"1"))
        assert (folder.sshd.home / "a").read_bytes() == b"1"
        store.delete("a")
    wrong = folder.destination(user=ssh.MADE_UP, secret={"password": "wrong"}, root=".")
    with opened(wrong) as store, pytest.raises(AuthFailed, match="check user, password") as caught:
        store.probe()
    assert caught.value.permanent


def test_a_key_that_the_server_does_not_know(folder: Folder) -> None:
    to = folder.destination(secret={"private_key": ssh.new_key()[0]})
    with opened(to) as store, pytest.raises(AuthFailed, match="private_key"):
        store.probe()


def test_a_key_with_a_passphrase(folder: Folder, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(folder.sshd.private_key)
    path.chmod(0o600)
    change = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", str(path)]
    subprocess.run(change, check=True, stdout=subprocess.DEVNULL)
    secret = {"private_key": path.read_text()}
    with opened(folder.destination(secret=secret | {"passphrase": "open sesame"})) as store:
        store.probe()
    for wrong in ({}, {"passphrase": "sesame"}):
        probe_fails(folder.destination(secret=secret | wrong), BadOptions, "passphrase")


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_each_of_the_servers_keys_may_be_pinned(kind: str, folder: Folder) -> None:
    with opened(folder.destination(host_key=folder.sshd.host_key(kind))) as store:
        store.probe()


def test_a_fingerprint_may_be_pinned(folder: Folder) -> None:
    with opened(folder.destination(host_key=folder.sshd.fingerprint())) as store:
        store.probe()


def test_a_server_with_another_key_gets_no_secret(folder: Folder) -> None:
    other = ssh.new_key()[1]
    fingerprint = "SHA256:" + "A" * 43
    ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY="
    for pinned in (other, fingerprint, ecdsa):
        to = folder.destination(host_key=pinned)
        with opened(to) as store, pytest.raises(BadHostKey, match="host_key") as caught:
            store.probe()
        assert caught.value.permanent


@pytest.mark.parametrize(
    "given",
    [
        {"host_key": "ssh-ed25519"},
        {"host_key": "ssh-ed25519 AAAA!"},
        {"host_key": "SHA256:abc"},
        {"host_key": "127.0.0.1 ssh-ed25519 AAAA"},
        {"host_key": ""},
        {"host": "a b"},
        {"port": 0},
        {"port": "22"},
        {"colour": "red"},
    ],
)
def test_options_that_cannot_be(given: dict[str, Any], folder: Folder) -> None:
    with pytest.raises(BadOptions, match=next(iter(given))):
        opened(folder.destination(**given))


def test_a_secret_is_needed(folder: Folder) -> None:
    with pytest.raises(BadOptions, match="password or private_key is needed"):
        opened(folder.destination(secret={}))


# --- what goes wrong


def test_no_such_folder(folder: Folder) -> None:
    probe_fails(folder.destination(root="/nonexistent/x"), NoBucket, "correct root")


def test_a_folder_that_is_not_ours(folder: Folder) -> None:
    if not folder.sshd.home:
        pytest.skip("a second user needs root and libnss-wrapper")
    secret = {"password": ssh.PASSWORD}
    to = folder.destination(user=ssh.MADE_UP, secret=secret, root="/usr")
    with opened(to) as store, pytest.raises(AccessDenied, match="write into '/usr'"):
        store.probe()


def test_a_full_disk(folder: Folder, picture: Picture) -> None:
    try:
        mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder.root)]
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small file system needs more than root here")
    try:
        large = picture(os.urandom(1 << 20))
        with opened(folder.destination()) as store, pytest.raises(StoreFull, match="disk full"):
            put(store, "a", large)
        assert folder.files() == []
    finally:
        subprocess.run(["/bin/umount", str(folder.root)], check=True)


class Killed(BaseException):
    """Ends a put without any of its own cleaning."""


def kill_a_put(folder: Folder, key: str, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch, opened(folder.destination()) as store:
        patch.setattr(sftp_store, "_rename", kill)
        with pytest.raises(Killed):
            put(store, key, source)


def test_what_a_killed_put_left_is_removed_by_the_next_of_its_key(
    folder: Folder, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("t/a", "t/b"):
        kill_a_put(folder, key, picture(b"old"), monkeypatch)
    assert len(folder.files()) == 3
    with opened(folder.destination()) as store:
        put(store, "t/a", picture(b"new"))
        assert len(folder.files()) == 3
        store.clean("t/b", 3)
        assert folder.files() == ["t", "t/a"]
        store.clean("t/b", 3)
    assert (folder.root / "t/a").read_bytes() == b"new"


def test_a_slow_put_does_not_disturb_the_next_of_its_key(
    folder: Folder, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is taken for dead may only be slow: its bytes never get the other's name."""
    rename = sftp_store._rename

    def be_overtaken(*given: Any) -> None:
        monkeypatch.setattr(sftp_store, "_rename", rename)
        with opened(folder.destination()) as other:
            put(other, "a", picture(b"new"))
        rename(*given)

    source = picture(b"old").rename(folder.root.parent / "old")
    monkeypatch.setattr(sftp_store, "_rename", be_overtaken)
    with opened(folder.destination()) as store, pytest.raises(StoreUnavailable, match="else"):
        put(store, "a", source)
    assert folder.files() == ["a"]
    assert (folder.root / "a").read_bytes() == b"new"


def test_a_file_in_the_way(folder: Folder, picture: Picture) -> None:
    (folder.root / "t").write_text("in the way")
    with opened(folder.destination()) as store, pytest.raises(InTheWay):
        put(store, "t/a", picture(b"1"))


def test_a_connection_cut_in_the_middle_leaves_no_file(folder: Folder, picture: Picture) -> None:
    with tapped(folder.sshd.port) as tap, opened(folder.destination(port=tap.port)) as store:
        tap.cut_after(150_000)
        with pytest.raises(StoreUnavailable):
            put(store, "a", picture(os.urandom(1_000_000)))
        assert folder.files() == []
        put(store, "a", picture(b"1"))
    assert folder.files() == ["a"]


def test_a_server_that_falls_silent(folder: Folder, picture: Picture) -> None:
    with tapped(folder.sshd.port) as tap:
        with opened(folder.destination(port=tap.port, timeout_s=1)) as store:
            tap.freeze_after(150_000)
            with pytest.raises(TimedOut):
                put(store, "a", picture(os.urandom(1_000_000)))
        assert folder.files() == []


@pytest.mark.parametrize(
    ("fault", "counts"), [("cut_after", range(1000, 1700, 100)), ("freeze_after", [1200])]
)
def test_a_connection_lost_during_the_login_is_no_refusal(
    folder: Folder, picture: Picture, fault: str, counts: Iterable[int]
) -> None:
    """Wherever it is lost: another try can help."""
    for count in counts:
        with tapped(folder.sshd.port) as tap:
            getattr(tap, fault)(count)
            to = folder.destination(port=tap.port, timeout_s=1)
            with opened(to) as store, pytest.raises(DeliveryError) as caught:
                put(store, "a", picture(bytes(100_000)))
            assert not caught.value.permanent, (count, caught.value)


def test_a_server_that_never_answers(folder: Folder) -> None:
    with raw_peer(lambda _, stop: stop.wait() and None) as port:
        probe_fails(folder.destination(port=port, timeout_s=1), (TimedOut, StoreUnavailable))


def test_a_closed_port(folder: Folder) -> None:
    probe_fails(folder.destination(port=closed_port()), StoreUnavailable, "refused")


def test_something_that_is_no_ssh_server(folder: Folder) -> None:
    def talk(connection: Any, _: object) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 200)

    with raw_peer(talk) as port:
        probe_fails(folder.destination(port=port, timeout_s=1), StoreUnavailable)


def test_a_users_server_at_a_private_address_is_not_called(folder: Folder) -> None:
    with tapped(folder.sshd.port) as tap:
        to = folder.destination(port=tap.port, guarded=True)
        with opened(to, PUBLIC_ONLY) as store, pytest.raises(AddressRefused):
            store.probe()
        assert tap.connections == 0


def test_errors_hold_no_secret(folder: Folder) -> None:
    to = folder.destination(secret={"password": "CANARY"})
    with opened(to) as store, pytest.raises(DeliveryError) as caught:
        store.probe()
    assert "CANARY" not in f"{caught.value!r} {caught.value.__context__!r} {to!r} {vars(store)}"
