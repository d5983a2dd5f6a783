import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.geometry import Size, layout, serves
from encoders.library import load_decoders
from encoders.look import Look

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


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([Look((100, 100))], (100, 50)),
        ([Look((100, 100)), Look((10, 10), fit="outside")], (100, 50)),
        ([Look((100, 60), fit="fill", rotate=90)], (60, 100)),
        ([Look((100, 100), rotate=270)], (100, 50)),
        ([Look((100, 60), fit="cover")], (120, 60)),
        ([Look((100, 60), fit="cover", rotate=90)], (200, 100)),
        ([Look((100, 60), fit="contain", rotate=180)], (100, 50)),
        ([Look((3000, 3000), enlarge=True)], (1600, 800)),
        ([Look((10, 10)), Look()], (1600, 800)),
        ([Look((10, 10), trim=10)], (1600, 800)),
    ],
)
def test_how_much_is_decoded(looks: list[Look], expected: Size) -> None:
    """Of an upright picture of 1600 x 800; turns are undone, as they come after the decoder."""
    load_decoders()
    from encoders.looks import needed

    assert needed((1600, 800), looks) == expected
