import json
from pathlib import Path
from typing import Any

import pytest

from encoders.header import Header
from encoders.limits import Limits
from encoders.look import Look, Watermark
from encoders.plan import Notice, Outcome, Plan, Rendition, Settings, Variant

LOOK = Look(
    (800, 600), "cover", background=(1, 2, 3, 4), watermark=Watermark("© Ä", color=(9, 9, 9, 9))
)


def test_a_plan_survives_json() -> None:
    variants = (
        Variant("a.jpg", "jpg", LOOK, Settings(speed=1, colors=16), "keep", ("speed",)),
        Variant("b.webp", "webp"),
    )
    plan = Plan(Path("/in/put"), Path("/out"), variants, Limits(max_side=10), Path("/fonts"))
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
    "wrong", [{"quality": 0}, {"quality": 101}, {"speed": -1}, {"speed": 11}, {"colors": 1}]
)
def test_a_setting_out_of_range_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"range|palette"):
        Settings(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"box": (0, 5)}, {"fit": "x"}, {"rotate": 45}, {"trim": 256}, {"blur": 0.0}, {"sharpen": 101}],
)
def test_a_look_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each has words of its own
        Look(**wrong)
