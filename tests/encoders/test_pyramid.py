"""Each size is made once, and from the smallest picture that is large enough."""

import pytest
from PIL import Image

from encoders.library import load_decoders
from tests.encoders.pictures import difference


@pytest.fixture(autouse=True)
def _decoders() -> None:
    load_decoders()


def test_each_size_is_made_once_whatever_the_format() -> None:
    from encoders.pyramid import Pyramid
    from encoders.source import Source

    pyramid = Pyramid(Source(Image.new("RGB", (400, 300)), None))
    assert pyramid.at((200, 150)) is pyramid.at((200, 150))


def test_a_small_size_comes_from_a_level_and_not_from_the_source() -> None:
    from encoders.pyramid import Pyramid
    from encoders.source import Source

    picture = Image.new("RGB", (400, 300), "red")
    pyramid = Pyramid(Source(picture, None))
    pyramid.at((200, 150))
    picture.paste("blue", (0, 0, 400, 300))
    assert pyramid.at((100, 75)).getpixel((50, 40)) == (255, 0, 0)
    assert pyramid.at((190, 143)).getpixel((50, 40)) == (0, 0, 255)


def test_going_through_a_level_looks_the_same() -> None:
    from encoders.pyramid import Pyramid
    from encoders.source import Source

    picture = Image.radial_gradient("L").resize((512, 512)).convert("RGB")
    direct = Pyramid(Source(picture, None)).at((100, 100))
    through = Pyramid(Source(picture, None))
    through.at((200, 200))
    assert difference(direct, through.at((100, 100))) < 1
