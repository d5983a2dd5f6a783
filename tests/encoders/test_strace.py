"""What the child asks of the kernel, written down by strace: no program, no network, no file that
is not its own, from before its first job on."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from encoders import landlock
from tests.encoders import hostile
from tests.encoders.pictures import IMAGES, OK

ROOT = IMAGES.parent.parent
CALLS = "%file,%network,%process,seccomp,landlock_restrict_self"
JOBS = """
import sys
from pathlib import Path
from encoders import registry
from encoders.converter import Converter
from encoders.errors import PictureError
from encoders.look import Look
from encoders.plan import Plan, Settings, Variant

out_dir, *sources = map(Path, sys.argv[1:])
converter = Converter(roots=lambda: tuple({out_dir, *(each.parent for each in sources)}))
variants = tuple(
    Variant(f"o.{name}", name, Look((90, 90)), Settings(speed=10)) for name in registry.names()
)
variants += (Variant("o", "original"),)
for source in sources:
    try:
        converter.convert(Plan(source, out_dir, variants))
        print("made", source.name)
    except PictureError as error:
        print(error.code, source.name)
converter.close()
"""
BAD = ["png text bomb", "webp with wild code tables", "tiff with huge tiles", "jpeg of height zero"]

FORBIDDEN = re.compile(
    r"execve|execveat|fork|vfork|socket|socketpair|connect|bind|listen|accept4?|sendto|sendm?msg|recv\w+"
)
OPEN = re.compile(r'(?:open|openat|openat2|creat)\((?:AT_FDCWD, )?"([^"]*)", ([^)]*)\)? = \d')
CHANGE = re.compile(r"(?:rename|unlink|mkdir|rmdir|link|symlink|truncate|mknod|chmod|chown)\w*")


def can_trace() -> bool:
    strace = shutil.which("strace")
    command = [str(strace), "-qq", "-o", os.devnull, "true"]
    return bool(strace) and not subprocess.run(command, check=False).returncode


def calls_of_children(trace: Path) -> Iterator[tuple[str, str]]:
    """(call, whole line) of every child and its threads, after it shut itself in."""
    ours: dict[str, bool] = {}
    for line in trace.read_text(errors="replace").splitlines():
        pid, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.startswith("execve(") and '"encoders.child"' in rest:
            ours[pid] = False
            continue
        if pid not in ours:
            continue
        call = re.match(r"(?:<\.\.\. )?(\w+)", rest)
        if ours[pid] and call:
            yield call[1], rest
        if started := re.search(r"clone3?(?: resumed>|\().*= (\d+)$", rest):
            ours[started[1]] = ours[pid]
        if rest.startswith("seccomp("):
            assert rest.endswith("= 0"), rest
            ours[pid] = True


def libraries() -> list[str]:
    """Where programs and libraries lie: nothing of anybody's."""
    python = [sys.prefix, sys.base_prefix, *(path for path in sys.path if "packages" in path)]
    system = ["/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/fonts", "/etc/ImageMagick-"]
    system += ["/etc/localtime", "/var/cache/fontconfig", "/proc/self/", "/sys/devices/system/cpu"]
    system += ["/proc/meminfo", "/proc/cpuinfo", "/proc/sys/vm/overcommit_memory", "/dev/urandom"]
    return [*python, *system, str(ROOT / "encoders")]


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[Path]]:
    """The trace of one run over good pictures and some bad ones, its output folder, sources."""
    if not can_trace():
        pytest.skip("strace is not installed, or may not trace here")
    folder = tmp_path_factory.mktemp("strace")
    (folder / "out").mkdir()
    sources = [IMAGES / row["file"] for row in OK]
    for name in BAD:
        sources.append(folder / name)
        sources[-1].write_bytes(hostile.REFUSED[name][0]())
    command = ["strace", "-f", "-qq", "-s", "4096", "-e", f"trace={CALLS}"]
    command += ["-o", str(folder / "trace"), sys.executable, "-c", JOBS, str(folder / "out")]
    done = subprocess.run(
        [*command, *map(str, sources)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    made = [line for line in done.stdout.splitlines() if line.startswith("made ")]
    assert len(OK) <= len(made) < len(sources), done.stdout
    return folder / "trace", folder / "out", sources


def test_it_was_shut_in_before_its_first_job(trace: tuple[Path, Path, list[Path]]) -> None:
    text = trace[0].read_text(errors="replace")
    children = len(re.findall(r'execve\(.*"encoders\.child"', text))
    assert children > 1, "a refusal costs a child its place"
    assert len(re.findall(r"\bseccomp\(.* = 0$", text, re.M)) == children
    if landlock.version():
        assert len(re.findall(r"landlock_restrict_self\(.* = 0$", text, re.M)) == children
    shut_in, first_job = text.index("seccomp("), text.index(f'openat(AT_FDCWD, "{trace[2][0]}"')
    assert shut_in < first_job


def test_no_program_and_no_network(trace: tuple[Path, Path, list[Path]]) -> None:
    calls = list(calls_of_children(trace[0]))
    assert len(calls) > 1000
    asked = [line for call, line in calls if FORBIDDEN.fullmatch(call)]
    assert not asked
    threads = [line for call, line in calls if call == "clone" and "= -1" not in line]
    assert all("CLONE_THREAD" in line or "resumed" in line for line in threads)


def test_no_foreign_file(trace: tuple[Path, Path, list[Path]]) -> None:
    path, out_dir, sources = trace
    own = [str(out_dir), f"{tempfile.gettempdir()}/pixerve-child-"]
    readable = (*libraries(), *own, *map(str, sources))
    opened = written = 0
    for _, line in calls_of_children(path):
        for name, flags in OPEN.findall(line):
            opened += 1
            if re.search("O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", flags):
                written += 1
                assert name.startswith((*own, os.devnull)), line
            elif name.startswith("/"):
                assert name.startswith((*readable, os.devnull)), line
    assert opened > 100
    assert written >= 4 * len(OK)


def test_nothing_foreign_is_changed(trace: tuple[Path, Path, list[Path]]) -> None:
    path, out_dir, _ = trace
    own = (str(out_dir), f"{tempfile.gettempdir()}/pixerve-child-")
    changes = [line for call, line in calls_of_children(path) if CHANGE.fullmatch(call)]
    assert len(changes) > len(OK)
    for line in changes:
        if "symlink" in line:
            assert re.search(r'"([^"]+)"\) = 0', line)[1].startswith(own), line
        else:
            assert all(name.startswith(own) for name in re.findall(r'"(/[^"]*)"', line)), line
