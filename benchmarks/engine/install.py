"""Fetches the peers into a folder of their own; nothing is installed into the system."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_DEBIAN = ("libvips-tools", "libavif-bin", "webp", "imagemagick")
_TOOLS = {
    "vipsthumbnail": ("vipsthumbnail", "--vips-version"),
    "magick": ("magick", "-version"),
    "convert": ("convert", "-version"),
    "cwebp": ("cwebp", "-version"),
    "avifenc": ("avifenc", "--version"),
}


class Unavailable(Exception):
    """A peer cannot be had here; the message is the reason."""


@dataclass
class Installed:
    """A folder of peers. Each method returns what is needed to start one, or says why not."""

    folder: Path

    def sharp(self) -> tuple[str, dict[str, str]]:
        """The node command, and the environment in which it finds sharp."""
        node, npm = shutil.which("node"), shutil.which("npm")
        if not node or not npm:
            raise Unavailable("Node.js and npm are not installed")
        place = self.folder / "node"
        if not (place / "node_modules" / "sharp").exists():
            place.mkdir(parents=True, exist_ok=True)
            _run(npm, "install", "--prefix", str(place), "--no-fund", "--no-audit", "sharp")
        return node, {"NODE_PATH": str(place / "node_modules")}

    def python(self, name: str, *packages: str) -> str:
        """The Python of a virtual environment that holds ``packages``."""
        place = self.folder / name
        python = str(place / "bin" / "python")
        if not (place / "complete").exists():
            _run(sys.executable, "-m", "venv", "--clear", str(place))
            if packages:
                _run(python, "-m", "pip", "install", "--quiet", *packages)
            (place / "complete").touch()
        return python

    def tool(self, *names: str) -> tuple[str, dict[str, str]]:
        """The first of ``names`` that works: the system's, or one unpacked from Debian packages."""
        for place in (dict[str, str], self._unpacked):
            environment = place()
            for name in names:
                if _works(name, environment):
                    return name, environment
        raise Unavailable(f"no {' or '.join(names)} here, and Debian's packages cannot be unpacked")

    def _unpacked(self) -> dict[str, str]:
        place = self.folder / "debian"
        if not (place / "complete").exists() and shutil.which("apt-get"):
            _unpack(place)
        libraries = [str(each) for each in (place / "usr/lib").glob("*-linux-gnu")]
        return {
            "PATH": f"{place / 'usr/bin'}:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": ":".join(libraries),
            "VIPSHOME": str(place / "usr"),
        }


def version_of(python: str, package: str) -> str:
    """The version of an installed package of another Python."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return _run(python, "-c", code).strip()


def tool_version(name: str, environment: dict[str, str]) -> str:
    """The first number with a dot that the tool says of itself."""
    found = re.search(r"\d+(\.\d+)+(-\d+)?", _said(name, environment))
    return found[0] if found else "unknown"


def _unpack(place: Path) -> None:
    """Download the packages and those they need, and unpack them here without installing."""
    archives = place / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    options = ["--yes", "--no-install-recommends", "--download-only"]
    options += ["-o", "Debug::NoLocking=1", "-o", f"Dir::Cache::archives={archives}"]
    _run("apt-get", "install", *options, *_DEBIAN)
    for archive in sorted(archives.glob("*.deb")):
        _run("dpkg-deb", "-x", str(archive), str(place))
    for program in (place / "usr/bin").glob("*-im*.q16*"):
        plain = place / "usr/bin" / program.name.partition("-im")[0]
        if not plain.exists():
            plain.symlink_to(program.name)
    for libraries in (place / "usr/lib").glob("*-linux-gnu"):
        # Moved to another place, Debian's libvips looks for its modules one folder higher.
        libraries.parent.with_name(libraries.name).symlink_to(libraries)
    (place / "complete").touch()


def _works(name: str, environment: dict[str, str]) -> bool:
    return re.search(r"\d+\.\d+", _said(name, environment)) is not None


def _said(name: str, environment: dict[str, str]) -> str:
    """What the tool answers about its version; nothing if it is not what its name says."""
    place = shutil.which(name, path=environment.get("PATH"))
    if not place:
        return ""
    command = (place, *_TOOLS[name][1:])
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | environment
    )
    return done.stdout + done.stderr if done.returncode == 0 else ""


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Unavailable(str(error)) from error
    if done.returncode:
        raise Unavailable(f"{_shown(command)} failed: {done.stderr.strip()[-300:]}")
    return done.stdout


def _shown(command: Sequence[str]) -> str:
    return " ".join(Path(part).name if part.startswith("/") else part for part in command[:4])
