"""Into which box, and which part of the picture: by looking at pixels."""

from typing import Any

import pytest
from PIL import Image

from encoders.look import Look
from tests.encoders.pictures import IMAGES, difference
from tests.encoders.studio import GRAVITIES, RED, Studio, corners, nine
from tests.encoders.test_orientation import TURNED


@pytest.mark.parametrize("gravity", GRAVITIES)
def test_cover_keeps_the_part_that_gravity_names(gravity: Any, studio: Studio) -> None:
    column, row = GRAVITIES[gravity]
    wide, tall = studio.make(
        nine(),
        Look((90, 30), fit="cover", gravity=gravity),
        Look((30, 90), fit="cover", gravity=gravity),
    )
    # Exact: a third is cut out and not scaled.
    assert wide == nine().crop((0, 30 * row, 90, 30 * row + 30))
    assert tall == nine().crop((30 * column, 0, 30 * column + 30, 90))


def test_cover_of_a_shrunk_picture_is_centred_to_the_pixel(studio: Studio) -> None:
    [made] = studio.make(corners((400, 200)), Look((100, 100), fit="cover"))
    assert made.size == (100, 100)
    assert difference(made, corners((100, 100))) < 1


@pytest.mark.parametrize("gravity", GRAVITIES)
def test_contain_fills_the_box_with_exactly_the_background(gravity: Any, studio: Studio) -> None:
    column, row = GRAVITIES[gravity]
    picture = Image.new("RGB", (40, 40), RED)
    [made] = studio.make(
        picture, Look((100, 60), fit="contain", gravity=gravity, background=(1, 200, 99, 255))
    )
    expected = Image.new("RGB", (100, 60), (1, 200, 99))
    expected.paste(RED, (30 * column, 10 * row, 30 * column + 40, 10 * row + 40))
    assert made == expected


def test_contain_on_nothing(studio: Studio) -> None:
    look = Look((80, 40), fit="contain", background=(0, 0, 0, 0))
    [made] = studio.make(Image.new("RGB", (40, 40), RED), look)
    assert made.mode == "RGBA"
    assert made.getpixel((5, 5)) == (0, 0, 0, 0)
    assert made.getpixel((40, 20)) == (*RED, 255)
    [flat] = studio.make(Image.new("RGB", (40, 40), RED), look, name="jpg")
    assert flat.getpixel((5, 5)) == (255, 255, 255)
    assert studio.warnings == ["alpha_flattened"]


def test_effects_leave_the_margin_alone(studio: Studio) -> None:
    look = Look((80, 40), fit="contain", background=(250, 128, 3, 255), blur=4, grayscale=True)
    [made] = studio.make(corners((40, 40)), look)
    assert made.crop((0, 0, 20, 40)) == Image.new("RGB", (20, 40), (250, 128, 3))


@pytest.mark.parametrize(
    ("look", "size"),
    [
        (Look((60, 60)), (60, 30)),
        (Look((60, 60), fit="outside"), (120, 60)),
        (Look((60, 60), fit="cover"), (60, 60)),
        (Look((60, 60), fit="contain"), (60, 60)),
        (Look((60, 60), fit="fill"), (60, 60)),
        # Larger than the picture of 200 x 100, not to be enlarged:
        (Look((400, 400)), (200, 100)),
        (Look((400, 400), fit="outside"), (200, 100)),
        (Look((400, 400), fit="cover"), (200, 100)),
        (Look((400, 400), fit="contain"), (400, 400)),
        (Look((400, 400), fit="fill"), (200, 100)),
        (Look((100, 400), fit="cover"), (100, 100)),
        # and to be:
        (Look((400, 400), enlarge=True), (400, 200)),
        (Look((400, 400), fit="outside", enlarge=True), (800, 400)),
        (Look((400, 400), fit="cover", enlarge=True), (400, 400)),
        (Look((400, 400), fit="contain", enlarge=True), (400, 400)),
        (Look((400, 300), fit="fill", enlarge=True), (400, 300)),
    ],
)
def test_sizes(look: Look, size: tuple[int, int], studio: Studio) -> None:
    [made] = studio.make(corners((200, 100)), look)
    assert made.size == size


def test_contain_makes_a_small_picture_no_larger_unless_asked(studio: Studio) -> None:
    small, large = studio.make(
        Image.new("RGB", (20, 10), RED),
        Look((60, 60), fit="contain"),
        Look((60, 60), fit="contain", enlarge=True),
    )
    red = Image.new("RGB", (60, 60), "white")
    red.paste(RED, (20, 25, 40, 35))
    assert small == red
    red.paste(RED, (0, 15, 60, 45))
    assert large == red


def test_fill_stretches(studio: Studio) -> None:
    [made] = studio.make(corners((200, 100)), Look((40, 80), fit="fill"))
    assert difference(made, corners((40, 80))) < 6


@pytest.mark.parametrize("orientation", [1, *TURNED])
@pytest.mark.parametrize("rotate", [0, 90, 270])
def test_shrinking_on_load_changes_no_geometry(
    orientation: int, rotate: int, studio: Studio
) -> None:
    """A large JPEG, held in every way: the corner that is asked for, at the right scale."""
    upright = corners((1600, 800))
    stored = upright.transpose(TURNED[orientation]) if orientation in TURNED else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    looks = (
        Look((100, 100), fit="cover", gravity="north-east", rotate=rotate),
        Look((100, 60), fit="fill", rotate=rotate),
        Look((60, 100), fit="contain", background=(9, 9, 9, 255), rotate=rotate),
    )
    cover, fill, contain = studio.make(stored, *looks, kind="JPEG", quality=95, exif=exif)
    turned = upright.rotate(-rotate, expand=True)
    square = turned.crop((turned.width - 800, 0, turned.width, 800))
    assert difference(cover, square.resize((100, 100))) < 3
    assert difference(fill, turned.resize((100, 60))) < 3
    inside = (60, 30) if rotate == 0 else (50, 100)
    assert contain.getpixel((0, 0)) == (9, 9, 9)
    left, top = (60 - inside[0]) // 2, (100 - inside[1]) // 2
    shown = contain.crop((left, top, left + inside[0], top + inside[1]))
    assert difference(shown, turned.resize(inside)) < 3


@pytest.mark.parametrize("box", [(63, 63), (85, 85)])
def test_sides_do_not_depend_on_how_a_file_is_decoded(box: tuple[int, int], studio: Studio) -> None:
    """2725 x 2225 shrinks to 1363 x 1113 on load, which has not quite the same ratio."""
    with Image.open(IMAGES / "rec_Landscape_6.jpg") as image:
        picture = image.convert("RGB").resize((2725, 2225))
    jpeg = [made.size for made in studio.make(picture, *fits(box), kind="JPEG")]
    assert jpeg == [made.size for made in studio.make(picture, *fits(box), kind="TIFF")]


def fits(box: tuple[int, int]) -> tuple[Look, ...]:
    return tuple(Look(box, fit=fit) for fit in ("inside", "outside", "cover", "contain", "fill"))
