"""Is this container well? Exit code 0 while its parts run and its web, if it has one, answers.

Which parts it has is on the command line of its supervisor, `manage.py serve [PART ...]`. Standard
library only: this runs every few seconds.
"""

import os
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# The last word of each part's command line.
PARTS = {"web": "pixerve_site.wsgi:application", "cluster": "cluster", "clerk": "clerk"}
ANSWERS_WITHIN_S = 4


def command_lines() -> Iterator[tuple[int, int, list[str]]]:
    """(pid, parent, words) of every process here that runs."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if words and state not in "ZX":
                yield int(entry.name), int(parent), words


def missing_parts() -> list[str]:
    """The parts that should run and do not. Raises LookupError without a supervisor."""
    processes = list(command_lines())
    for pid, _, words in processes:
        if "serve" in words and words[words.index("serve") - 1].endswith("manage.py"):
            wanted = words[words.index("serve") + 1 :] or list(PARTS)
            there = {child[-1] for _, parent, child in processes if parent == pid}
            return [name for name in wanted if PARTS.get(name) not in there]
    raise LookupError("no `manage.py serve` runs here")


def main() -> None:
    try:
        if gone := missing_parts():
            sys.exit(f"not running: {', '.join(gone)}")
    except LookupError as error:
        sys.exit(str(error))
    if any(words[-1] == PARTS["web"] for _, _, words in command_lines()):
        ask_web()


def ask_web() -> None:
    """Leave with exit code 1 unless it answers in time."""
    host = os.environ.get("PIXERVE_HOST") or "127.0.0.1"
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104
    url = f"http://{host}:{os.environ.get('PIXERVE_PORT') or 8080}/livez"
    request = urllib.request.Request(url, headers={"Host": "localhost"})
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(request, timeout=ANSWERS_WITHIN_S).close()
    except OSError as error:
        sys.exit(f"{url}: {error}")


if __name__ == "__main__":
    main()
