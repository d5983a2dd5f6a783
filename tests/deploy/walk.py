"""Walk through the Containerfile without a container engine, and run what comes out.

    python -m tests.deploy.walk bookworm
    python -m tests.deploy.walk trixie --cache /var/tmp/pixerve-walk

Needs root, debootstrap, and the network for packages. Each stage is a folder that begins as a fresh
Debian; each RUN happens in it by chroot. The image then runs as its user in namespaces of its own,
with a read-only root, an empty /tmp and one writable volume: first everything in one container,
then web and the workers in two. Each time a picture is uploaded, converted, fetched, and the
container stopped. Ends with exit code 0 if all of that went well.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.containerfile import CONTAINERFILE, ROOT, Stage, filled, parse, variables
from tests.server import IMAGES, free_port, multipart, wait_for

_DEBIAN = re.compile(r"docker\.io/library/debian:(\w+)-slim")
_CA = "/run/walk-ca.crt"
_JOB = {"formats": {"webp": {"sizes": [[200]]}, "avif": {"sizes": [[100]]}}, "directHost": True}
_STOPS_WITHIN_S = 45

# $1 the root, $2 the volume on the host, $3 its place, then user, folder and command.
_RUN = r"""
set -eu
root=$1 volume=$2 place=$3 user=$4 folder=$5; shift 5
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount --bind "$volume" "$root$place"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs --inh-caps=-all chroot --userspec="$user" "$root" \
    /usr/bin/env -i --chdir="$folder" "$@"
"""


def say(text: str) -> None:
    sys.stderr.write(f"walk: {text}\n")


def run(*command: str, **options: object) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, **options)  # type: ignore[call-overload]


@dataclass
class Image:
    """A stage after its steps: the root folder, and what is to be known for a start."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    meta: dict[str, str] = field(default_factory=dict)

    def words(self, name: str) -> list[str]:
        found: list[str] = json.loads(self.meta[name])
        return found


class Builder:
    """Makes images below `work`; fresh Debians are kept in `cache`."""

    def __init__(self, work: Path, cache: Path) -> None:
        self._work, self._cache = work, cache
        self._images: dict[str, Image] = {}

    def build(self, suite: str) -> Image:
        """The last stage."""
        arguments, stages = parse(CONTAINERFILE.read_text())
        arguments["DEBIAN"] = suite
        for number, stage in enumerate(stages):
            image = self._build(stage, arguments, str(number))
            self._images[stage.name] = image
        return image

    def _build(self, stage: Stage, arguments: dict[str, str], name: str) -> Image:
        base = filled(stage.base, arguments)
        say(f"FROM {base}")
        known = self._images.get(base)
        root = self._work / name
        run("cp", "-a", "--reflink=auto", str(known.root if known else self._debian(base)), root)
        image = Image(root, dict(known.env) if known else {}, dict(known.meta) if known else {})
        for step in stage.steps:
            say(f"{step.word} {step.text[:100]}")
            getattr(self, f"_{step.word.lower()}", self._note)(image, step.word, step.text)
        return image

    def _debian(self, base: str) -> Path:
        match = _DEBIAN.fullmatch(base)
        assert match, base
        made = self._cache / match[1]
        if not made.exists():
            half = made.with_suffix(".half")
            shutil.rmtree(half, ignore_errors=True)
            say(f"debootstrap {match[1]}")
            run("debootstrap", "--variant=minbase", match[1], str(half), stdout=sys.stderr)
            half.rename(made)
        return made

    def _note(self, image: Image, word: str, text: str) -> None:
        image.meta[word] = text

    def _arg(self, image: Image, _word: str, text: str) -> None:
        image.env |= variables(text)

    def _env(self, image: Image, _word: str, text: str) -> None:
        image.env |= {name: filled(value, image.env) for name, value in variables(text).items()}

    def _workdir(self, image: Image, word: str, text: str) -> None:
        image.meta[word] = text
        (image.root / text.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _run(self, image: Image, _word: str, text: str) -> None:
        self.run(image, text)

    def run(self, image: Image, text: str) -> None:
        """A line of shell, in the image."""
        script = (
            'set -e; mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"; root=$1; shift;'
            ' exec chroot "$root" /usr/bin/env -i "$@"'
        )
        shutil.copy("/etc/resolv.conf", image.root / "etc")
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **self._network(image.root), **image.env}
        words = [f"{name}={value}" for name, value in env.items()]
        folder = image.meta.get("WORKDIR", "/")
        try:
            inner = ["sh", "-c", f"cd {folder} && {text}"]
            unshared = ["unshare", "--mount", "--pid", "--fork"]
            command = [*unshared, "sh", "-c", script, "sh", str(image.root), *words, *inner]
            run(*command, stdout=sys.stderr)
        finally:
            (image.root / _CA.lstrip("/")).unlink(missing_ok=True)

    def _network(self, root: Path) -> dict[str, str]:
        """How this machine reaches the Internet: its proxies, and whom it trusts for TLS."""
        found = {k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")}
        bundle = os.environ.get("SSL_CERT_FILE")
        if bundle:
            shutil.copy(bundle, root / _CA.lstrip("/"))
            found |= {"PIP_CERT": _CA}
        return found

    def _copy(self, image: Image, _word: str, text: str) -> None:
        *sources, target = text.split()
        inside = Path(image.meta.get("WORKDIR", "/")) / target
        there = image.root / str(inside).lstrip("/")
        if sources[0].startswith("--from="):
            origin = self._images[sources[0].removeprefix("--from=")].root
            there.parent.mkdir(parents=True, exist_ok=True)
            run("cp", "-a", str(origin / sources[1].lstrip("/")), str(there))
            return
        for name in sources:
            for path in context() if name == "." else [Path(name)]:
                place = there / (path if name == "." else path.name)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, place)


def context() -> Iterator[Path]:
    """The files that .dockerignore lets into the build, relative to the repository."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    closed = [line for line in lines if line and line[0] not in "#*!"]
    for line in lines:
        start = ROOT / line.removeprefix("!")
        if not line.startswith("!"):
            continue
        for path in [start] if start.is_file() else sorted(start.rglob("*")):
            name = path.relative_to(ROOT)
            hidden = (
                any(name.is_relative_to(each) for each in closed) or "__pycache__" in name.parts
            )
            if path.is_file() and not hidden:
                yield name


@dataclass
class Container:
    """A running image. `outer` is `unshare`, whose only child is PID 1 inside."""

    image: Image
    outer: "subprocess.Popen[bytes]"
    log: Path

    def pid(self) -> int:
        children = Path(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children")
        return int(wait_for(lambda: children.read_text().split(), what="PID 1")[0])

    def inside(self, *command: str, given: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command in it, as its user."""
        uid, _, gid = self.image.meta["USER"].partition(":")
        words = [f"{name}={value}" for name, value in self.image.env.items()]
        enter = ["nsenter", "-t", str(self.pid()), "-m", "-p", "-r", f"-S{uid}", f"-G{gid}"]
        return subprocess.run(
            [*enter, "/usr/bin/env", "-i", *words, *command],
            check=False,
            input=given,
            capture_output=True,
            text=True,
        )

    def is_healthy(self) -> bool:
        command = json.loads(self.image.meta["HEALTHCHECK"].partition("CMD ")[2])
        return self.inside(*command).returncode == 0

    def stop(self) -> int:
        os.kill(self.pid(), signal.SIGTERM)
        return self.outer.wait(_STOPS_WITHIN_S)


@contextmanager
def started(image: Image, volume: Path, log: Path, port: int, *command: str) -> Iterator[Container]:
    """The image with a volume, a port, and what would follow its name on the command line."""
    image.env |= {"PIXERVE_PORT": str(port)}
    image.env |= {"PIXERVE_HOST": "127.0.0.1", "PIXERVE_READY_FREE_BYTES": "1"}
    words = [f"{name}={value}" for name, value in image.env.items()]
    words += [*image.words("ENTRYPOINT"), *(command or image.words("CMD"))]
    places = [str(image.root), str(volume), image.meta["VOLUME"], image.meta["USER"]]
    unshared = ["unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child=KILL"]
    with log.open("ab") as stream:
        outer = subprocess.Popen(
            [*unshared, "sh", "-c", _RUN, "sh", *places, image.meta["WORKDIR"], *words],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    try:
        yield Container(image, outer, log)
    finally:
        outer.kill()
        outer.wait()


def use(container: Container, port: int) -> None:
    """Upload a picture, wait for its files and fetch them."""
    made = container.inside(
        *container.image.words("ENTRYPOINT"), *["issue_token", "--sub", "walk", "--spec", "-"],
        given=json.dumps(_JOB),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    body, kind = multipart([("file", "a.jpg", (IMAGES / "imn_large.jpg").read_bytes())])
    headers = {"Authorization": f"Bearer {made.stdout.strip()}", "Content-Type": kind}
    url = f"http://127.0.0.1:{port}"
    request = urllib.request.Request(f"{url}/upload", body, headers)
    taken = json.load(urllib.request.urlopen(request, timeout=30))

    def state() -> str:
        with urllib.request.urlopen(f"{url}/status?hash={taken['hash']}", timeout=30) as answer:
            found = str(json.load(answer)["state"])
        return "" if found in {"created", "pending", "processing"} else found

    assert wait_for(state, within_s=60, what="the end of the job") == "completed"
    for name in taken["expected_files"]:
        with urllib.request.urlopen(f"{url}/files/{name}", timeout=30) as answer:
            say(f"fetched {name[-20:]}: {answer.headers['Content-Type']}, {len(answer.read())} B")


def check_is_held_back(container: Container) -> None:
    """Nothing can be written where nothing should, and children know their limits."""
    for place in ("/opt/pixerve/x", "/etc/x", "/x"):
        assert container.inside("/usr/bin/touch", place).returncode != 0, place
    log = container.log.read_text()
    assert "seccomp, Landlock" in log, log


def walk(image: Image, work: Path) -> None:
    port = free_port()
    volume = work / "volume"
    volume.mkdir()
    shutil.copystat(image.root / image.meta["VOLUME"].lstrip("/"), volume)
    os.chown(volume, *map(int, image.meta["USER"].split(":")))
    with started(image, volume, work / "log", port) as all_in_one:
        wait_for(all_in_one.is_healthy, within_s=60, what=f"health ({work}/log)", every_s=0.5)
        use(all_in_one, port)
        check_is_held_back(all_in_one)
        say(all_in_one.inside("/usr/bin/pg_dump", "--version").stdout.strip())
        begun = time.monotonic()
        assert all_in_one.stop() == 0, (work / "log").read_text()
        say(f"all in one: stopped after {time.monotonic() - begun:.1f} s with exit code 0")
    with (
        started(image, volume, work / "log", port, "serve", "cluster", "clerk") as workers,
        started(image, volume, work / "log", port, "serve", "web") as web,
    ):
        for each in (workers, web):
            wait_for(each.is_healthy, within_s=60, what=f"health ({work}/log)", every_s=0.5)
        use(web, port)
        assert [each.stop() for each in (web, workers)] == [0, 0]
        say("web and workers in two containers: the same")


def main() -> None:
    options = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    options.add_argument("suite", choices=["bookworm", "trixie"])
    options.add_argument("--cache", type=Path, default=Path("/var/tmp/pixerve-walk"))
    chosen = options.parse_args()
    chosen.cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=chosen.cache))
    try:
        image = Builder(work, chosen.cache).build(chosen.suite)
        measured = subprocess.check_output(["du", "-sm", str(image.root)], text=True)  # noqa: S607
        say(f"the image has {measured.split()[0]} MB")
        walk(image, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say("done")


if __name__ == "__main__":
    main()
