import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.geometry import Size, layout, serves

SIDES = st.integers(min_value=1, max_value=20_000)
SIZES = st.tuples(SIDES, SIDES)


def fit(size: Size, box: Size | None) -> Size:
    return layout(size, box, "inside", "center", enlarge=False).size


@pytest.mark.parametrize(
    ("size", "box", "expected"),
    [
        ((2725, 2225), (800, 600), (735, 600)),
        ((1920, 1080), (800, 800), (800, 450)),
        ((1080, 1920), (800, 800), (450, 800)),
        ((100, 50), (800, 600), (100, 50)),
        ((100, 50), (100, 50), (100, 50)),
        ((100, 50), None, (100, 50)),
        ((10_000, 1), (100, 100), (100, 1)),
        ((1, 10_000), (100, 100), (1, 100)),
        ((3, 2), (2, 2), (2, 1)),
    ],
)
def test_fit(size: Size, box: Size | None, expected: Size) -> None:
    assert fit(size, box) == expected


@given(size=SIZES, box=SIZES)
def test_a_fit_is_inside_keeps_the_ratio_and_never_enlarges(size: Size, box: Size) -> None:
    width, height = fit(size, box)
    assert 1 <= width <= min(size[0], box[0])
    assert 1 <= height <= min(size[1], box[1])
    assert width in (size[0], box[0]) or height in (size[1], box[1])
    exact = min(box[0] / size[0], box[1] / size[1], 1)
    assert width == 1 or abs(width - size[0] * exact) <= 0.501
    assert height == 1 or abs(height - size[1] * exact) <= 0.501


def test_a_level_must_be_half_as_large_again() -> None:
    assert serves((1200, 900), (800, 600))
    assert not serves((1199, 900), (800, 600))
