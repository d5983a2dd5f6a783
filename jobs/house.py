"""What this installation lends to its converters: folders and memory."""

from functools import cache
from pathlib import Path

from django.conf import settings

from encoders.budget import Budget
from jobs import staging


def roots() -> tuple[Path, ...]:
    """The folders below which children read sources and write renditions."""
    return (staging.root(),)


def budget() -> Budget:
    """The memory that the converters of all workers share."""
    return Budget(_memory_of(settings.PIXERVE.data_dir), settings.PIXERVE.memory_mb << 20)


@cache
def _memory_of(data_dir: Path) -> Path:
    run = data_dir / "run"
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    return run / "memory"
