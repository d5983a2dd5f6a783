"""A Containerfile as a list of stages, for tests that lint it and for the walk through it."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONTAINERFILE = ROOT / "deploy" / "container" / "Containerfile"


@dataclass(frozen=True)
class Step:
    word: str
    text: str

    def words(self) -> list[str]:
        """The arguments, of the JSON form too."""
        found: list[str] = json.loads(self.text) if self.text[:1] == "[" else self.text.split()
        return found


@dataclass
class Stage:
    base: str
    name: str = ""
    steps: list[Step] = field(default_factory=list)

    def last(self, word: str) -> Step:
        """The one that counts."""
        return [step for step in self.steps if step.word == word][-1]


def parse(text: str) -> tuple[dict[str, str], list[Stage]]:
    """Arguments given before the first FROM, and the stages."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(base, name))
        elif stages:
            stages[-1].steps.append(Step(word, rest))
        else:
            name, _, value = rest.partition("=")
            arguments[name] = value
    return arguments, stages


def variables(text: str) -> dict[str, str]:
    """What an ENV or ARG step sets."""
    return dict(re.findall(r"(\w+)=(\S*)", text))


def filled(text: str, values: dict[str, str]) -> str:
    """`text` with its ${names} replaced."""
    return re.sub(r"\$\{(\w+)\}", lambda match: values.get(match[1], ""), text)
