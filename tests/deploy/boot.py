"""Run the units of deploy/systemd under a real systemd, in namespaces of its own.

    python -m tests.deploy.boot bookworm

Needs root, debootstrap, cgroup2, and the network for packages. The machine that boots is what the
Containerfile describes (see tests.deploy.walk), with systemd installed and the units copied in.
First pixerve.service, then the three units of its parts: each time a picture is uploaded,
converted and fetched; then a supervisor is killed and comes back, and all stop in time.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.deploy import walk
from tests.deploy.walk import Builder, Image, say
from tests.server import ROOT, free_port, wait_for

UNITS = ROOT / "deploy" / "systemd"
_UNIFIED = Path("/sys/fs/cgroup/unified")
_GROUPS = _UNIFIED if _UNIFIED.exists() else _UNIFIED.parent
_DEVICES = "null zero full random urandom tty"
_BOOT = f"""
set -eu
root=$1
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in {_DEVICES}; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
cd "$root"
mkdir -p old
pivot_root . old
umount -l /old
exec env -i container=other PATH=/usr/sbin:/usr/bin /lib/systemd/systemd --log-target=console
"""


@dataclass
class Machine(walk.Container):
    """A booted image; commands run as root."""

    def systemctl(self, *words: str) -> str:
        done = self._enter("0", "/usr/bin/systemctl", *words)
        return (done.stdout + done.stderr).strip()

    def inside(self, *command: str, given: str = "") -> "subprocess.CompletedProcess[str]":
        return self._enter("10001", *command, given=given)

    def _enter(
        self, user: str, *command: str, given: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        words = [f"{name}={value}" for name, value in self.image.env.items()]
        enter = ["nsenter", "-t", str(self.pid()), *["-m", "-p", "-C", "-i", "-u", "-r"]]
        return subprocess.run(
            [*enter, f"-S{user}", f"-G{user}", "/usr/bin/env", "-i", *words, *command],
            check=False,
            input=given,
            capture_output=True,
            text=True,
        )

    def start(self, *names: str) -> None:
        said = self.systemctl("start", *names)
        assert not said, said + self.systemctl("status", *names)
        url = f"http://127.0.0.1:{self.image.env['PIXERVE_PORT']}/livez"
        look = f"import urllib.request; urllib.request.urlopen('{url}')"
        python = self.image.words("ENTRYPOINT")[0]
        wait_for(
            lambda: self.inside(python, "-c", look).returncode == 0,
            within_s=90, what=f"an answer of {names} ({self.log})", every_s=0.5,
        )  # fmt: skip

    def show(self, name: str, what: str) -> str:
        return self.systemctl("show", "--value", "-p", what, name)

    def stop_units(self, *names: str) -> None:
        """All at once; each must end by itself, and well."""
        begun = time.monotonic()
        self.systemctl("stop", *names)
        for name in names:
            assert self.show(name, "Result") == "success", self.systemctl("status", name)
        say(f"{', '.join(names)}: stopped after {time.monotonic() - begun:.1f} s")

    def journal(self) -> str:
        return self._enter("0", "/usr/bin/journalctl", "--no-pager", "-q").stdout


@contextmanager
def booted(image: Image, log: Path) -> Iterator[Machine]:
    group = _GROUPS / f"pixerve-{image.root.parent.name}"
    group.mkdir()
    spaces = ["--cgroup", "--mount", "--pid", "--ipc", "--uts"]
    unshared = ["unshare", *spaces, "--fork", "--kill-child=KILL", "sh", "-c"]
    enter = ["sh", "-c", 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"', "sh", str(group)]
    with log.open("ab") as stream:
        outer = subprocess.Popen(
            [*enter, *unshared, _BOOT, "sh", str(image.root)],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    machine = Machine(image, outer, log)
    try:
        wait_for(
            lambda: machine.systemctl("is-system-running") in {"running", "degraded"},
            within_s=60, what=f"the boot ({log})", every_s=0.5,
        )  # fmt: skip
        yield machine
    finally:
        outer.kill()
        outer.wait()
        # A group can go once all in it are gone, the deepest first.
        wait_for(lambda: "populated 0" in (group / "cgroup.events").read_text(), what="the end")
        for inner in sorted((each for each in group.rglob("*") if each.is_dir()), reverse=True):
            inner.rmdir()
        group.rmdir()


def install(builder: Builder, image: Image) -> None:
    """systemd, the units, and settings that suit this machine."""
    packages = "apt-get update && apt-get install -y --no-install-recommends systemd systemd-sysv"
    builder.run(image, f"export DEBIAN_FRONTEND=noninteractive; {packages}")
    for unit in UNITS.glob("*.service"):
        shutil.copy(unit, image.root / "etc/systemd/system")
    settings = (UNITS / "pixerve.env").read_text()
    settings += f"PIXERVE_PORT={image.env['PIXERVE_PORT']}\nPIXERVE_READY_FREE_BYTES=1\n"
    (image.root / "etc/pixerve.env").write_text(settings)
    state = image.root / "var/lib/pixerve"
    shutil.rmtree(state)  # systemd makes it


def check(machine: Machine, port: int) -> None:
    parts = [f"pixerve-{name}.service" for name in ("web", "cluster", "clerk")]
    for names in (["pixerve.service"], parts):
        machine.start(*names)
        walk.use(machine, port)
        assert "held back by limits, seccomp, Landlock" in machine.journal()
        say(f"{', '.join(names)}: converts")
        if names == parts:
            check_comes_back(machine, parts[0])
        machine.stop_units(*names)


def check_comes_back(machine: Machine, name: str) -> None:
    machine.systemctl("kill", "--kill-who=main", "-s", "KILL", name)
    wait_for(lambda: machine.show(name, "NRestarts") != "0", what="a restart", every_s=0.2)
    machine.start(name)
    say(f"{name}: killed, and back")


def main() -> None:
    options = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    options.add_argument("suite", choices=["bookworm", "trixie"])
    options.add_argument("--cache", type=Path, default=Path("/var/tmp/pixerve-walk"))
    chosen = options.parse_args()
    chosen.cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=chosen.cache))
    port = free_port()
    try:
        builder = Builder(work, chosen.cache)
        image = builder.build(chosen.suite)
        image.env |= {"PIXERVE_PORT": str(port), "PIXERVE_HOST": "127.0.0.1"}
        install(builder, image)
        say(f"booting; {json.dumps(image.env)}")
        with booted(image, work / "log") as machine:
            check(machine, port)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say("done")


if __name__ == "__main__":
    main()
