"""What every format has in common: speed, quality, and what is stored beside the pixels."""

from pathlib import Path

import pytest
from PIL import Image

from encoders import registry
from encoders.converter import Converter
from encoders.limits import Limits
from encoders.picture import Frame, Picture
from encoders.plan import Plan, Settings, Variant
from tests.encoders.encoding import PROFILE, XMP, encode, exif, photo, size_of
from tests.encoders.pictures import IMAGES, OK, opened, plan, upright

EMBEDDING = ["jpg", "png", "webp", "avif", "tiff"]
COPYRIGHT = 0x8298


@pytest.mark.parametrize("name", ["jpg", "png", "webp", "avif", "tiff"])
def test_a_slower_speed_is_never_larger(name: str, tmp_path: Path) -> None:
    sizes = [size_of(encode(name, tmp_path, photo(), speed=speed)) for speed in (0, 3, 6, 10)]
    assert sizes[0] <= sizes[1] * 1.02
    assert sizes[0] <= sizes[2] * 1.02
    assert sizes[0] < sizes[3]


@pytest.mark.parametrize("name", ["png", "tiff"])
@pytest.mark.parametrize("speed", range(11))
def test_lossless_formats_keep_every_pixel(name: str, speed: int, tmp_path: Path) -> None:
    image = photo(100)
    assert opened(encode(name, tmp_path, image, speed=speed)).tobytes() == image.tobytes()


@pytest.mark.parametrize("name", EMBEDDING)
def test_what_is_given_is_stored(name: str, tmp_path: Path) -> None:
    assert registry.load(name).embeds == {"profile", "exif", "xmp"}
    path = encode(name, tmp_path, Picture((Frame(photo()),), 0, PROFILE, exif(), XMP))
    with Image.open(path) as image:
        image.load()
        assert image.info["icc_profile"] == PROFILE
        assert image.info["xmp"] == XMP
        assert image.getexif()[COPYRIGHT] == "Ada"


@pytest.mark.parametrize("name", EMBEDDING)
def test_one_alone_is_stored_alone(name: str, tmp_path: Path) -> None:
    given = {"profile": PROFILE, "exif": exif(), "xmp": XMP}
    traces = {"profile": b"acsp", "exif": b"Ada", "xmp": b"xmpmeta"}
    if name == "png":
        traces["profile"] = b"iCCP"
    for each, value in given.items():
        data = encode(name, tmp_path, Picture((Frame(photo()),), **{each: value})).read_bytes()
        assert {one for one, trace in traces.items() if trace in data} == {each}


@pytest.mark.parametrize("name", registry.names())
def test_nothing_is_stored_that_was_not_given(name: str, tmp_path: Path) -> None:
    image = photo()
    image.info |= {"comment": b"a secret", "dpi": (300, 300), "exif": b"Exif\0\0secret"}
    image.info |= {"icc_profile": b"acsp", "xmp": b"secret"}
    bare = encode(name, tmp_path, photo()).read_bytes()
    assert encode(name, tmp_path, image).read_bytes() == bare


@pytest.mark.parametrize("row", OK, ids=lambda row: row["file"])
def test_a_good_picture_becomes_gif_and_tiff(
    row: dict[str, str], shared: Converter, tmp_path: Path
) -> None:
    outcome = shared.convert(plan(IMAGES / row["file"], tmp_path, "gif", "tiff"))
    for made in outcome.renditions:
        with Image.open(tmp_path / made.name) as image:
            image.load()
            assert image.size == (made.width, made.height) == upright(row)
            assert image.format == made.format.upper()
            assert not image.info.keys() & {"exif", "icc_profile", "xmp", "comment"}


def test_encoders_side_by_side_keep_to_their_own_settings(
    shared: Converter, tmp_path: Path
) -> None:
    """Pillow puts the options of a save on the picture, which variants of one look share."""
    variants = tuple(
        Variant(f"{number}.jpg", "jpg", settings=Settings((5, 95)[number % 2]))
        for number in range(60)
    )
    source = IMAGES / "wil_people.jpg"
    outcome = shared.convert(Plan(source, tmp_path, variants, Limits(threads=4)))
    assert len({made.bytes for made in outcome.renditions[::2]}) == 1
    assert len({made.bytes for made in outcome.renditions[1::2]}) == 1
