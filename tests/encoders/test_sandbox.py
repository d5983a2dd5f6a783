"""What a converter child can still do once a picture has taken it over.

The code that has taken over is an encoder of the test's own: it runs inside the real child, where
a decoder would, tries each deed and writes what came of it as its "picture".
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from encoders import landlock, registry, sandbox, seccomp
from encoders.converter import Converter
from encoders.plan import Plan, Variant
from tests.encoders.pictures import IMAGES, plan

EVIL = """
import ctypes, json, os, signal, socket, subprocess, threading
from pathlib import Path


def outcome(deed):
    try:
        return str(deed())
    except BaseException as error:
        return type(error).__name__


def thread():
    found = []
    worker = threading.Thread(target=lambda: found.append(outcome(socket.socket)))
    worker.start()
    worker.join()
    return found[0]


def call(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")


class Evil:
    name = extension = "evil"
    media_type = "image/evil"
    settings = frozenset()
    alpha = animated = False
    embeds = frozenset()

    def encode(self, picture, path, settings):
        pid, name = os.environ["TZ"].split()
        other, secret = int(pid), Path(name)
        trace = {"x86_64": 101, "aarch64": 117}[os.uname().machine]
        deeds = {
            "run a program": lambda: subprocess.run(["/bin/true"]),
            "become a program": lambda: os.execv("/bin/true", ["true"]),
            "fork": os.fork,
            "open a socket": socket.socket,
            "open a socket in a thread": thread,
            "make a pair of sockets": socket.socketpair,
            "kill another process": lambda: os.kill(other, signal.SIGTERM),
            "limit another process": lambda: __import__("resource").prlimit(other, 0),
            "ask for io_uring": lambda: call(425, 1, None),
            "trace the parent": lambda: call(trace, 16, other, 0, 0),
            "read a secret": secret.read_text,
            "list its folder": lambda: os.listdir(secret.parent),
            "overwrite it": lambda: secret.write_text("gone"),
            "change its mode": lambda: secret.chmod(0o777),
            "remove it": secret.unlink,
            "read the users": Path("/etc/passwd").read_text,
            "read the parent's environment": Path(f"/proc/{other}/environ").read_text,
            "write to the temporary folder": lambda: Path("/tmp/evil-was-here").write_text("x"),
            "write among the programs": lambda: Path(secret.parent, "x.py").write_text("x"),
            "write here": lambda: Path("mine").write_text("fine"),
            "read its memory use": lambda: len(Path("/proc/self/statm").read_text()) > 0,
            "send itself a signal": lambda: os.kill(os.getpid(), 0),
        }
        found = {name: outcome(deed) for name, deed in deeds.items()}
        path.write_text(json.dumps(found))
"""
ALLOWED = {
    "write here": "4",
    "read its memory use": "True",
    "send itself a signal": "None",
}
BY_LANDLOCK = {
    "read a secret",
    "list its folder",
    "overwrite it",
    "remove it",
    "read the users",
    "read the parent's environment",
    "write to the temporary folder",
    "write among the programs",
}


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install the encoder as pip would; the secret that it is after."""
    packages, private = tmp_path / "packages", tmp_path / "private"
    metadata = packages / "evil-1.0.dist-info"
    metadata.mkdir(parents=True)
    private.mkdir()
    (packages / "evil.py").write_text(EVIL)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[pixerve.encoders]\nevil = evil:Evil\n")
    (private / "secret").write_text("very secret")
    monkeypatch.syspath_prepend(packages)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    # One of the few variables that reach the child.
    monkeypatch.setenv("TZ", f"{os.getpid()} {private / 'secret'}")
    registry.forget()
    yield private / "secret"
    registry.forget()


def deeds(converter: Converter, out_dir: Path) -> dict[str, str]:
    out_dir.mkdir()
    converter.convert(Plan(IMAGES / "pil_hopper.jpg", out_dir, (Variant("report", "evil"),)))
    report: dict[str, str] = json.loads((out_dir / "report").read_text())
    return report


@pytest.mark.skipif(not seccomp.is_known(), reason="this kernel has no seccomp")
def test_a_child_that_was_taken_over_can_do_nothing(
    evil: Path, converter: Converter, tmp_path: Path
) -> None:
    report = deeds(converter, tmp_path / "out")
    if not landlock.version():
        report = {name: found for name, found in report.items() if name not in BY_LANDLOCK}
    assert {name: report.pop(name) for name in ALLOWED} == ALLOWED
    assert report
    assert set(report.values()) == {"PermissionError"}, report
    assert evil.read_text() == "very secret"
    assert evil.stat().st_mode & 0o777 != 0o777


@pytest.mark.skipif(not seccomp.is_known(), reason="this kernel has no seccomp")
def test_the_filter_is_on_from_the_first_job(converter: Converter, tmp_path: Path) -> None:
    converter.convert(plan(IMAGES / "pil_hopper.jpg", tmp_path, "jpg"))
    for status in Path(f"/proc/{converter.pid}/task").glob("*/status"):
        assert re.search(r"^Seccomp:\s+2$", status.read_text(), re.M)


def test_a_plan_out_of_reach_gets_another_child(tmp_path: Path) -> None:
    """Folders are fixed for a child's life; below its roots one child serves all jobs."""
    converter = Converter(roots=lambda: (tmp_path / "staging",))
    pids = []
    for place in ("staging/1", "staging/2", "elsewhere"):
        folder = tmp_path / place
        (folder / "out").mkdir(parents=True)
        (folder / "source").write_bytes((IMAGES / "pil_hopper.jpg").read_bytes())
        converter.convert(plan(folder / "source", folder / "out", "jpg"))
        pids.append(converter.pid)
    converter.close()
    assert pids[0] == pids[1] != pids[2]


def test_what_holds_a_child_back_can_be_told() -> None:
    found = sandbox.powers()
    assert (found.seccomp, found.landlock) == (seccomp.is_known(), landlock.version())
    assert str(sandbox.Powers(seccomp=True, landlock=0)) == "seccomp, no Landlock"
    assert str(sandbox.Powers(seccomp=False, landlock=7)) == "no seccomp, Landlock 7"


ABORT = """
import os, sys
from pathlib import Path
from encoders import sandbox
sandbox.die_with(os.getppid())
sandbox.isolate([], [Path.cwd()])
os.abort()
"""


def test_a_confined_process_can_still_abort() -> None:
    """The C library ends a process with a signal to itself when its heap is broken."""
    done = subprocess.run(
        [sys.executable, "-c", ABORT], cwd=IMAGES.parent.parent, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGABRT, done.stderr
