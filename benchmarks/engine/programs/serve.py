"""What every peer written in Python shares. It runs in the peer's own virtual environment."""

import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Job = dict[str, Any]
"""{"source": path, "outputs": [{"format", "width", "height", "quality", "effort", "path"}]}"""


def serve(work: Callable[[Job], None]) -> None:
    """Answer each job on standard input with one line, until the input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        answer: dict[str, Any] = {}
        try:
            work(json.loads(line))
        except Exception as error:
            answer["error"] = f"{type(error).__name__}: {error}"
        answers.write(json.dumps(answer | _children()) + "\n")
        answers.flush()


def largest(job: Job) -> tuple[int, int]:
    """The box that holds every box of the job."""
    outputs = job["outputs"]
    return max(each["width"] for each in outputs), max(each["height"] for each in outputs)


def is_animated(job: Job) -> bool:
    """Of the sources used here, only the animation is a WebP."""
    return Path(job["source"]).suffix == ".webp"


def _children() -> dict[str, float]:
    """CPU seconds and the largest resident set, in bytes, of the processes that were started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"cpu_s": used.ru_utime + used.ru_stime, "rss": used.ru_maxrss * 1024}
