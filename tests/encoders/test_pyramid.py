"""Each size is made once, and from the smallest picture that is large enough."""

import pytest
from PIL import Image

from encoders.geometry import Layout, Size
from encoders.library import load_decoders
from encoders.look import Look
from tests.encoders.pictures import difference


def whole(size: Size) -> Layout:
    return Layout(None, size, size)


@pytest.fixture(autouse=True)
def _decoders() -> None:
    load_decoders()


def test_each_size_is_made_once_whatever_the_format() -> None:
    from encoders.pyramid import Pyramid

    pyramid = Pyramid(Image.new("RGB", (400, 300)), None)
    assert pyramid.at(whole((200, 150))) is pyramid.at(whole((200, 150)))


def test_a_small_size_comes_from_a_level_and_not_from_the_source() -> None:
    from encoders.pyramid import Pyramid

    picture = Image.new("RGB", (400, 300), "red")
    pyramid = Pyramid(picture, None)
    pyramid.at(whole((200, 150)))
    picture.paste("blue", (0, 0, 400, 300))
    assert pyramid.at(whole((100, 75))).getpixel((50, 40)) == (255, 0, 0)
    assert pyramid.at(whole((190, 143))).getpixel((50, 40)) == (0, 0, 255)


def test_going_through_a_level_looks_the_same() -> None:
    from encoders.pyramid import Pyramid

    picture = Image.radial_gradient("L").resize((512, 512)).convert("RGB")
    direct = Pyramid(picture, None).at(whole((100, 100)))
    through = Pyramid(picture, None)
    through.at(whole((200, 200)))
    assert difference(direct, through.at(whole((100, 100)))) < 1


def test_a_look_is_handed_on_before_the_next_is_made() -> None:
    from encoders.looks import Looks

    picture = Image.new("RGB", (400, 300), "red")
    boxes = [(210, 210), (300, 300)]
    looks = Looks([Look(box=box) for box in boxes], None, picture.size)
    made = looks.of(picture)
    first, large = next(made)
    picture.paste("blue", (0, 0, 400, 300))
    second, small = next(made)
    assert [first.box, second.box] == boxes[::-1]
    assert large.getpixel((50, 40)) == (255, 0, 0)
    assert small.getpixel((50, 40)) == (0, 0, 255)
