import json
from pathlib import Path

import pytest

from encoders.header import Header
from encoders.limits import Limits
from encoders.plan import Notice, Outcome, Plan, Rendition, Variant


def test_a_plan_survives_json() -> None:
    variants = (
        Variant("a.jpg", "jpg", (800, 600), 80, 1, ("speed",)),
        Variant("b.webp", "webp"),
    )
    plan = Plan(Path("/in/put"), Path("/out"), variants, Limits(max_side=10))
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_an_outcome_survives_json() -> None:
    made = Rendition("a.jpg", "jpg", 8, 6, 300, "ab" * 32, 1.5)
    outcome = Outcome(Header("png", 8, 6), (made,), (Notice("code", "words"),), {"total": 2.5})
    assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc/passwd", "a/b", "nul\0"])
def test_a_name_that_is_a_path_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        Variant(name, "jpg")


@pytest.mark.parametrize(
    "wrong", [{"quality": 0}, {"quality": 101}, {"speed": -1}, {"speed": 11}, {"box": (0, 5)}]
)
def test_a_value_out_of_range_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="variant"):
        Variant("a.jpg", "jpg", **wrong)
