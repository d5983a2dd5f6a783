"""`deploy/bootstrap.sh` and the Makefile, run for real in a small tree of their own.

The locked package is a wheel built here and pip gets no index, so no test needs a network. Where a
test needs another system than this one, stand-ins for *its* commands are put first on PATH.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What the script calls beside apt, for a PATH that shows nothing else.
TOOLS = ["sh", "env", "dirname", "grep", "cut", "sort", "head", "cat", "sed", "rm", "mv", "id"]
TOOLS += ["sha256sum", "mktemp", "flock"]
MAKE = str(shutil.which("make"))


def wait_for(what: Callable[[], object], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain"
        time.sleep(0.01)


def spent_s() -> float:
    """CPU seconds of all commands that ended: what other tests do beside them does not count."""
    times = os.times()
    return times.children_user + times.children_system


class Tree:
    """A checkout with the real script and Makefile, and one locked package called `probe`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "deploy").mkdir(parents=True)
        shutil.copy2(ROOT / "deploy" / "bootstrap.sh", folder / "deploy")
        shutil.copy2(ROOT / "Makefile", folder)
        self.lock("requirements.lock", "1.0")
        self.lock("requirements-dev.lock", "1.0")

    @property
    def stamp(self) -> Path:
        return self.folder / ".venv" / "pixerve-stamp"

    def lock(self, name: str, version: str, digest: str = "") -> None:
        wheel = self._build_wheel(version)
        digest = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
        (self.folder / name).write_text(f"./{wheel.name} --hash=sha256:{digest}\n")

    def _build_wheel(self, version: str) -> Path:
        info = f"probe-{version}.dist-info"
        files = {
            "probe.py": f"version = {version!r}\n",
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: probe\nVersion: {version}\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": "",
        }
        path = self.folder / f"probe-{version}-py3-none-any.whl"
        if not path.exists():
            with zipfile.ZipFile(path, "w") as wheel:
                for name, text in files.items():
                    wheel.writestr(name, text)
        return path

    def env(self, **changes: str) -> dict[str, str]:
        mine = {k: v for k, v in os.environ.items() if not k.startswith(("PIXERVE_", "MAKE"))}
        mine.pop("MAGICK_HOME", None)
        return {**mine, "PYTHON": sys.executable, "PIP_NO_INDEX": "1", **changes}

    def bootstrap(self, *args: str, **changes: str) -> subprocess.CompletedProcess[str]:
        argv = [self.folder / "deploy" / "bootstrap.sh", *args]
        return subprocess.run(
            argv, env=self.env(**changes), cwd="/", capture_output=True, text=True, check=False
        )

    def probe_version(self) -> str:
        code = "import probe; print(probe.version)"
        python = self.folder / ".venv" / "bin" / "python"
        return subprocess.check_output([python, "-c", code], text=True).strip()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return Tree(tmp_path_factory.mktemp("bootstrap") / "check out")  # with a space, as people do


@pytest.fixture
def tree(shared: Tree) -> Tree:
    """The shared tree, ready to serve; making one takes seconds, so who begins without one goes
    first."""
    shared.lock("requirements.lock", "1.0")
    shared.lock("requirements-dev.lock", "1.0")
    made = shared.bootstrap("serve")
    assert made.returncode == 0, made.stderr
    return shared


@pytest.fixture
def other_system(tmp_path: Path) -> "OtherSystem":
    return OtherSystem(tmp_path)


class OtherSystem:
    """A folder for PATH that holds stand-ins for system commands and records their calls."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls_file = folder / "calls"
        self.calls_file.touch()
        self.command("ldconfig", "exit 0")  # knows no library

    def command(self, name: str, script: str) -> None:
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self.calls_file}"\n{script}\n')
        path.chmod(0o755)

    def packages(self, *names: str, lists: Path | None = None) -> None:
        """Those that apt-cache knows, once its lists have been fetched."""
        known = "".join(f"{name} - words\n" for name in names)
        (self.bin / "known").write_text(known)
        ready = f"[ -e {lists} ]" if lists else "true"
        pattern = 'for pattern in "$@"; do :; done'
        self.command(
            "apt-cache",
            f'{pattern}; ! {ready} || sed "s/ - /\t- /" {self.bin}/known | '
            f'while read name rest; do echo "$name" | grep -qE "$pattern" && '
            f'echo "$name - words"; done; true',
        )

    def calls(self, name: str) -> list[str]:
        lines = self.calls_file.read_text().splitlines()
        return [line for line in lines if line.startswith(f"{name} ")]

    @property
    def path(self) -> str:
        return f"{self.bin}:{os.environ['PATH']}"


def test_a_run_that_was_killed_is_healed(shared: Tree) -> None:
    shared.lock("requirements.lock", "1.0")
    assert not (shared.folder / ".venv").exists(), "this test is the first"
    cut = subprocess.Popen(
        [shared.folder / "deploy" / "bootstrap.sh", "serve"],
        env=shared.env(),
        start_new_session=True,
    )
    wait_for((shared.folder / ".venv" / "bin" / "python").exists)
    os.killpg(cut.pid, signal.SIGKILL)
    cut.wait()
    assert not shared.stamp.exists()
    assert shared.bootstrap("serve").returncode == 0
    assert shared.probe_version() == "1.0"


def test_the_second_start_is_quick_and_silent(tree: Tree) -> None:
    assert tree.probe_version() == "1.0"
    before = tree.stamp.stat()
    before_s = spent_s()
    again = tree.bootstrap("serve")
    assert spent_s() - before_s < 1
    assert (again.returncode, again.stderr) == (0, "")
    assert tree.stamp.stat().st_mtime_ns == before.st_mtime_ns


def test_a_changed_lock_is_installed_into_the_same_venv(tree: Tree) -> None:
    marker = tree.folder / ".venv" / "marker"
    marker.touch()
    tree.lock("requirements.lock", "2.0")
    assert tree.bootstrap("serve").returncode == 0
    assert tree.probe_version() == "2.0"
    assert marker.exists()


def test_what_the_tests_need_is_enough_to_serve(tree: Tree) -> None:
    tree.lock("requirements-dev.lock", "2.0")
    assert tree.bootstrap("test", PIXERVE_NO_APT="1").returncode == 0
    assert tree.probe_version() == "2.0"
    assert tree.bootstrap("serve").stderr == ""
    assert tree.probe_version() == "2.0"


@pytest.mark.skipif(
    bool(shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")), reason="nginx is here"
)
@pytest.mark.parametrize("there", [True, False])
def test_nginx_is_unpacked_and_not_installed(
    tree: Tree, other_system: OtherSystem, there: bool
) -> None:
    shutil.rmtree(tree.folder / ".venv" / "nginx", ignore_errors=True)
    other_system.command(
        "apt-get", f'[ "$1" != download ] || {"touch nginx_1.deb" * there or "false"}'
    )
    script = 'mkdir -p "$3/usr/sbin"; touch "$3/usr/sbin/nginx"; chmod +x "$3/usr/sbin/nginx"'
    other_system.command("dpkg-deb", script)
    made = tree.bootstrap("test", PATH=other_system.path)
    assert made.returncode == 0, made.stderr
    assert other_system.calls("apt-get")[-1] == "apt-get download nginx"
    assert (tree.folder / ".venv/nginx/usr/sbin/nginx").exists() is there
    assert ("the tests with nginx are skipped" in made.stderr) is not there
    if there:
        assert "nginx" not in tree.bootstrap("test", PATH=other_system.path).stderr


def test_a_wheel_that_does_not_match_its_hash_is_refused_and_shown(tree: Tree) -> None:
    tree.lock("requirements.lock", "1.0", digest="0" * 64)
    refused = tree.bootstrap("serve")
    assert refused.returncode != 0
    assert "DO NOT MATCH THE HASHES" in refused.stderr
    assert not tree.stamp.exists()


def test_a_venv_without_its_python_is_made_anew(tree: Tree) -> None:
    python = tree.folder / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nonexistent/python3")
    assert tree.bootstrap("serve").returncode == 0
    assert tree.probe_version() == "1.0"


def system_python_serves() -> bool:
    new_enough = "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))"
    found = shutil.which("/usr/bin/python3")
    return bool(found) and not subprocess.call([found, "-I", "-c", new_enough])


@pytest.mark.skipif(not system_python_serves(), reason="the system's Python is missing or old")
def test_the_systems_python_comes_before_others_on_the_path(
    tree: Tree, other_system: OtherSystem
) -> None:
    other_system.command("python3", f'exec "{sys.executable}" "$@"')
    shutil.rmtree(tree.folder / ".venv")
    made = tree.bootstrap("serve", PYTHON="", PATH=other_system.path)
    assert made.returncode == 0, made.stderr
    assert "making .venv with /usr/bin/python3 (" in made.stderr


def test_a_moved_checkout_gets_a_new_venv(tree: Tree) -> None:
    tree.folder = tree.folder.rename(tree.folder.with_name("moved"))
    assert "making .venv" in tree.bootstrap("serve").stderr
    assert tree.probe_version() == "1.0"


@pytest.mark.parametrize("args", [(), ("deploy",)])
def test_the_kind_is_required(shared: Tree, args: tuple[str, ...]) -> None:
    refused = shared.bootstrap(*args)
    assert refused.returncode != 0
    assert refused.stderr == "bootstrap: usage: deploy/bootstrap.sh serve|test\n"


@pytest.mark.parametrize("python", ["/bin/false", "no-such-python"])
def test_a_wrong_python_is_one_line(tree: Tree, python: str) -> None:
    refused = tree.bootstrap("serve", PYTHON=python)
    assert refused.returncode != 0
    assert refused.stderr == f"bootstrap: PYTHON={python} is not a Python 3.11 or newer\n"
    assert tree.probe_version() == "1.0"


def test_without_apt_the_command_is_named(tree: Tree, other_system: OtherSystem) -> None:
    other_system.packages("libmagickwand-7.q16-10", "libturbojpeg0")
    other_system.command("apt-get", "exit 1")
    refused = tree.bootstrap("serve", PATH=other_system.path, PIXERVE_NO_APT="1")
    assert refused.returncode != 0
    missing = ["libmagickwand-7.q16-10", "libturbojpeg0", "libfribidi0"]
    assert f"missing on this system: {' '.join(missing)}\n" in refused.stderr
    quoted = " ".join(f"'{name}'" for name in missing)
    assert f"apt-get install --no-install-recommends {quoted}\n" in refused.stderr
    assert other_system.calls("apt-get") == []


def test_packages_are_installed_through_sudo(tree: Tree, other_system: OtherSystem) -> None:
    lists = other_system.bin / "lists"
    other_system.command("id", "echo 1000")
    other_system.command("sudo", '[ "$1" != -n ] || shift; exec "$@"')
    other_system.packages("libmagickwand-6.q16-7t64", lists=lists)
    other_system.command("apt-get", f'case $* in *update*) touch "{lists}" ;; esac')
    done = tree.bootstrap("serve", PATH=other_system.path)
    assert done.returncode == 0, done.stderr
    assert other_system.calls("apt-get") == [
        "apt-get -y update",
        # What no list knows under any name is left out.
        "apt-get -y install --no-install-recommends libmagickwand-6.q16-7t64 libfribidi0",
    ]
    assert len(other_system.calls("sudo")) >= 2


def test_apt_is_asked_again_with_fresh_lists(tree: Tree, other_system: OtherSystem) -> None:
    other_system.command("id", "echo 0")
    other_system.packages("libmagickwand-6.q16-6", "libturbojpeg0")
    other_system.command("apt-get", 'case $* in *install*) echo "404 Not Found"; exit 100 ;; esac')
    refused = tree.bootstrap("serve", PATH=other_system.path)
    assert refused.returncode != 0
    assert "404 Not Found" in refused.stderr
    words = [call.split()[2] for call in other_system.calls("apt-get")]
    assert words == ["install", "update", "install"]


def test_nobody_who_can_install_is_told_the_command(tree: Tree, other_system: OtherSystem) -> None:
    other_system.command("id", "echo 1000")
    other_system.command("sudo", "exit 1")  # asks for a password, and there is no terminal
    other_system.command("apt-cache", "")
    refused = subprocess.run(
        [tree.folder / "deploy" / "bootstrap.sh", "serve"],
        env=tree.env(PATH=other_system.path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode != 0
    assert r"'^libmagickwand-[67]\.q16-[0-9]+(t64)?$'" in refused.stderr


def test_a_system_without_apt_is_told_the_libraries(tree: Tree, other_system: OtherSystem) -> None:
    for tool in TOOLS:
        (other_system.bin / tool).symlink_to(str(shutil.which(tool)))
    refused = tree.bootstrap("serve", PATH=str(other_system.bin))
    assert refused.returncode != 0
    assert "install with your package manager: the MagickWand library" in refused.stderr


def test_sigterm_to_make_stops_the_server_cleanly(tree: Tree) -> None:
    (tree.folder / "manage.py").write_text(
        "import pathlib, signal, sys, time\n"
        "def leave(*_):\n"
        "    pathlib.Path('left').touch(); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, leave)\n"
        "pathlib.Path('up').write_text(sys.argv[1])\n"
        "time.sleep(600)\n"
    )
    make = subprocess.Popen([MAKE, "-s", "serve"], cwd=tree.folder, env=tree.env())
    wait_for(lambda: (tree.folder / "up").exists() and (tree.folder / "up").read_text() == "serve")
    make.terminate()
    make.wait(10)
    assert (tree.folder / "left").exists()


def test_a_check_sees_none_of_the_callers_settings(tree: Tree) -> None:
    (tree.folder / "benchmarks").mkdir()
    (tree.folder / "benchmarks" / "__main__.py").write_text(
        "import os, tempfile; open('seen', 'w').write("
        "f'{tempfile.mkdtemp()}\\n' + ' '.join(k for k in os.environ if 'PIXERVE' in k))"
    )
    env = tree.env(PIXERVE_NO_APT="1", PIXERVE_PORT="1")
    subprocess.run([MAKE, "-s", "bench"], cwd=tree.folder, env=env, check=True)
    folder, names = (tree.folder / "seen").read_text().split("\n")
    assert sorted(names.split()) == ["PIXERVE_DATA_DIR", "PIXERVE_SERVE_DIR"]
    assert not Path(folder).parent.exists()


def test_help_is_the_default_and_lists_every_command() -> None:
    listed = subprocess.check_output([MAKE, "-s", "-C", ROOT], text=True, env=os.environ)
    for command in ("help", "serve", "test", "lint", "format", "lock", "bench", "clean"):
        assert f"make {command} " in listed
