"""The process that decodes: ``python -m encoders.child``, started by ``encoders.converter``.

One job is one line of JSON (a plan). It is answered by its need of memory, one line for each
finished rendition, then one with the outcome or the error:

    {"needs": bytes}            predicted; the child waits for a line that lets it go on
    {"rendition": {...}}
    {"outcome": {...}, "rss": bytes}
    {"error": {"code": ..., "message": ..., "tainted": bool}}

``tainted`` says that native code had the picture in its hands: this process is not to be trusted
with another one.
"""

import json
import os
import resource
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from encoders.errors import PictureError
from encoders.library import load_decoders
from encoders.plan import Plan, Rendition
from encoders.sandbox import allow_cpu, confine, die_with, isolate

Send = Callable[[dict[str, Any]], None]
Admit = Callable[[int], None]

_UNTAINTED = frozenset(
    {"unsupported_type", "empty_picture", "too_many_pixels", "side_too_long", "too_many_frames"}
)


def main(arguments: list[str]) -> None:
    """Arguments: job pipe, answer pipe, parent's process id, memory bytes, file bytes, folders.

    Folders are JSON: ``{"read": [...], "write": [...]}``.
    """
    jobs_fd, answers_fd, parent, memory_bytes, file_bytes = map(int, arguments[:5])
    die_with(parent)
    # Renditions are published as they are; until then their folder keeps others out.
    os.umask(0o022)
    confine(memory_bytes, file_bytes)
    trouble = _load()
    folders = json.loads(arguments[5])
    isolate(map(Path, folders["read"]), [Path.cwd(), *map(Path, folders["write"])])
    with os.fdopen(jobs_fd) as jobs, os.fdopen(answers_fd, "w") as answers:

        def send(message: dict[str, Any]) -> None:
            answers.write(json.dumps(message) + "\n")
            answers.flush()

        def admit(needed_bytes: int) -> None:
            send({"needs": needed_bytes})
            if not jobs.readline():
                raise SystemExit("the parent has left")

        while line := jobs.readline():
            _answer(Plan.from_json(json.loads(line)), send, admit, trouble)


def _load() -> Exception | None:
    """Load all that jobs need, as nothing of it can be reached later; what went wrong."""
    try:
        load_decoders()
        import encoders.render  # noqa: F401, PLC0415 - its imports need the decoders
    except (PictureError, MemoryError) as error:
        return error
    return None


def _answer(plan: Plan, send: Send, admit: Admit, trouble: Exception | None) -> None:
    try:
        send(_run(plan, send, admit, trouble))
    except PictureError as error:
        send(_error(error.code, error.message))
    except MemoryError:
        send(_error("out_of_memory", "The picture needs more memory than allowed."))
    except Exception as error:
        traceback.print_exc()
        name = type(error).__name__
        send(_error("conversion_failed", f"The conversion failed in an unforeseen way ({name})."))


def _run(plan: Plan, send: Send, admit: Admit, trouble: Exception | None) -> dict[str, Any]:
    if trouble:
        raise trouble
    from encoders.render import Render  # noqa: PLC0415 - loaded before, and not by web processes

    def on_rendition(rendition: Rendition) -> None:
        send({"rendition": asdict(rendition)})

    allow_cpu(plan.limits.timeout_s)
    outcome = Render(plan, Path.cwd(), on_rendition, admit).run()
    return {"outcome": outcome.to_json(), "rss": _resident_bytes()}


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "tainted": code not in _UNTAINTED}}


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


if __name__ == "__main__":
    main(sys.argv[1:])
