"""Small, blind changes to good input, from a seeded source of chance."""

import copy
import os
import random
import time
from collections.abc import Iterator
from typing import Any

NUMBERS = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
STRANGE: list[Any] = [None, True, False, 0, -1, 1, 2**31, 2**63, 2**100, -0.0, 1e308, float("nan")]
STRANGE += [float("inf"), "", "\0", "\ud800", "𝔘", "x" * 10_000, "../..", "@/etc/passwd", "%n%s"]
STRANGE += ["jpg", "original", "http://[", "https://127.0.0.1/", [], [[]], [1], {}, {"": {}}]
TARGETS = 3
"""How many tests share the time."""


def seconds() -> float:
    """The share of one target: of a minute, or of FUZZ_SECONDS."""
    return float(os.environ.get("FUZZ_SECONDS", "60")) / TARGETS


def chances() -> Iterator[tuple[str, random.Random]]:
    """A new source of chance for each input until the time is over, and how to get it again.

    The same ones every time, or from FUZZ_SEED on; "new" is a seed that nobody chose.
    """
    seed = os.environ.get("FUZZ_SEED", "0")
    seed = str(time.time_ns()) if seed == "new" else seed
    end, number = time.monotonic() + seconds(), 0
    while time.monotonic() < end:
        name = f"{seed}/{number}"
        yield name, random.Random(name)  # noqa: S311 - chance, not secrecy
        number += 1


def mutated(data: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """``data`` after one to eight changes, most of them near its beginning."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        _change(changed, others, chance)
    return bytes(changed)


def _change(data: bytearray, others: list[bytes], chance: random.Random) -> None:
    at = int(len(data) * chance.random() ** 3)
    length = chance.choice((1, 2, 4, 8, chance.randint(1, 400)))
    match chance.randrange(8):
        case 0 if data:
            at = min(at, len(data) - 1)
            data[at] ^= 1 << chance.randrange(8)
        case 1 | 2:
            size = chance.choice((1, 2, 3, 4, 8))
            number = chance.choice(NUMBERS) & (1 << 8 * size) - 1
            data[at : at + size] = number.to_bytes(size, chance.choice(("little", "big")))
        case 3:
            del data[at : at + length]
        case 4:
            data[at:at] = data[at : at + length] * chance.randint(1, 50)
        case 5:
            data[at : at + length] = chance.randbytes(length)
        case 6:
            del data[at:]
        case _:
            other = chance.choice(others)
            start = chance.randrange(len(other) + 1)
            data[at : at + length] = other[start : start + length]


def strange(value: Any, chance: random.Random) -> Any:
    """A copy of a JSON value with one to three places made strange."""
    changed = [copy.deepcopy(value)]
    for _ in range(chance.randint(1, 3)):
        _disturb(changed, 0, chance)
    return changed[0]


def _disturb(holder: Any, key: Any, chance: random.Random) -> None:
    value = holder[key]
    if isinstance(value, dict | list) and value and chance.random() < 0.8:
        inner = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        _disturb(value, inner, chance)
    elif isinstance(value, dict) and chance.random() < 0.5:
        value[chance.choice(("", "x", "jpg", "__proto__", "sizes"))] = chance.choice(STRANGE)
    elif isinstance(value, list) and chance.random() < 0.5:
        value += chance.choices(STRANGE, k=chance.randint(1, 100))
    else:
        holder[key] = copy.deepcopy(chance.choice(STRANGE))
