"""What is running: the version, and where known the commit and the build's time."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache

from pixerve_site.config import PROJECT_ROOT

VERSION = "0.1.0"


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(PROJECT_ROOT), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


@cache
def git_commit() -> str:
    """The commit from BUILD_COMMIT (container builds) or the checkout, else "unknown"."""
    return os.environ.get("BUILD_COMMIT") or _git("rev-parse", "HEAD") or "unknown"


@cache
def build_time() -> str:
    """RFC 3339 time of the build (BUILD_TIME), else of the commit, else of this file."""
    stamp = os.environ.get("BUILD_TIME") or _git("log", "-1", "--format=%cI")
    if stamp:
        return stamp
    modified = (PROJECT_ROOT / "pyproject.toml").stat().st_mtime
    return datetime.fromtimestamp(modified, UTC).isoformat()


@cache
def imagemagick_version() -> str:
    """What the converter links to; asked in a process of its own, as the web loads no decoder."""
    code = (
        "from encoders.library import load_decoders; load_decoders();"
        "from wand.version import MAGICK_VERSION; print(MAGICK_VERSION)"
    )
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(
            command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "unavailable"
    return done.stdout.strip()
