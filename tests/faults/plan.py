"""Which cells are run: victim by victim, spread over the stages, the moment drawn from a seed.

`FAULTS_RUNS` is how often each victim is struck (2), `FAULTS_SEED` what the moments are drawn from.
The first run of each victim is at the stage that it has most to do with, and these are all stages.
"""

import os
import random
from dataclasses import dataclass

RUNS = int(os.environ.get("FAULTS_RUNS") or 2)
SEED = os.environ.get("FAULTS_SEED") or "1"
STACKS = ("embedded", "shared")

FIRST_STAGE = {
    "child": "decoding",
    "busy worker": "encoding",
    "idle worker": "waiting",
    "monitor": "committed",
    "pusher": "waiting",
    "sentinel": "delivering",
    "cluster": "encoding",
    "whole cluster": "delivering",
    "clerk": "unmarked",
    "web": "staged",
    "everything": "committed",
}
STAGES = ("staged", "waiting", "decoding", "encoding", "delivering", "committed", "unmarked")
# An end of everything cannot be slept over.
STOPPED = tuple(victim for victim in FIRST_STAGE if victim != "everything")


@dataclass(frozen=True)
class Cell:
    """One strike: who, at which stage, how, and the how manieth of its kind."""

    victim: str
    stage: str
    how: str = "killed"
    run: int = 0

    @property
    def row(self) -> str:
        """Its row in the table."""
        return f"{self.victim} {self.how}, {self.stage}"

    def __str__(self) -> str:
        return f"{self.victim}-{self.how}-{self.stage}-{self.run}".replace(" ", "_")

    def moments(self, stack: str) -> random.Random:
        return random.Random(f"{SEED} {stack} {self}")  # noqa: S311 - no secret


def cells(stack: str) -> list[Cell]:
    """Those of one stack; the other one's are others."""
    found = []
    for victim in FIRST_STAGE:
        found += [Cell(victim, stage, run=run) for run, stage in _stages(stack, victim, RUNS)]
    for victim in STOPPED:
        half = _stages(stack, f"stopped {victim}", (RUNS + 1) // 2)
        found += [Cell(victim, stage, "stopped", run) for run, stage in half]
    return found


def _stages(stack: str, victim: str, count: int) -> list[tuple[int, str]]:
    first = FIRST_STAGE.get(victim)
    others = [stage for stage in STAGES if stage != first]
    random.Random(f"{SEED} {stack} {victim}").shuffle(others)  # noqa: S311 - no secret
    order = [first, *others] if first else others
    return [(run, order[run % len(order)]) for run in range(count)]
