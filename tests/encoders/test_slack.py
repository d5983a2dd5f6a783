"""A JPEG that is shrunk on load lands where the whole picture would."""

from pathlib import Path

import pytest
from PIL import Image
from PIL.Image import Transpose

from encoders.converter import Converter
from encoders.look import Look
from encoders.plan import Plan, Settings, Variant
from encoders.slack import NONE, inner, of_scaled, transposed
from tests.encoders.pictures import IMAGES, difference, opened
from tests.encoders.test_orientation import TURNED

_ODD = (1633, 1225)
"""At 1/4 it is 408.25 x 306.25 pixels, which libjpeg delivers as 409 x 307."""
_SMALL = (400, 300)


def test_the_slack_is_what_libjpeg_rounds_up() -> None:
    assert of_scaled((3266, 1837), (817, 460)) == (0, 0, 0.5, 0.75)
    assert of_scaled((3266, 1837), (3266, 1837)) == NONE
    assert of_scaled((800, 640), (300, 240)) == NONE


@pytest.mark.parametrize("step", Transpose)
def test_the_slack_turns_with_the_picture(step: Transpose) -> None:
    image = Image.new("L", (6, 5), 0)
    slack = (0, 0, 1, 2)
    image.paste(255, inner(image.size, slack))
    turned = image.transpose(step)
    assert turned.getbbox() == inner(turned.size, transposed(slack, step))


@pytest.mark.parametrize("orientation", [1, *TURNED])
def test_shrinking_on_load_moves_nothing(
    orientation: int, shared: Converter, tmp_path: Path
) -> None:
    upright = photo()
    made = made_from(upright, orientation, Look(box=_SMALL), shared, tmp_path)
    assert made.size == _SMALL
    assert difference(made, upright.resize(_SMALL, Image.Resampling.LANCZOS)) < 3


@pytest.mark.parametrize(("rotate", "flip"), [(90, None), (180, None), (270, None), (90, "both")])
def test_turns_that_are_asked_for_move_nothing(
    rotate: int, flip: str | None, shared: Converter, tmp_path: Path
) -> None:
    upright = photo()
    look = Look(box=(400, 400), rotate=rotate, flip=flip)  # type: ignore[arg-type]
    made = made_from(upright, 1, look, shared, tmp_path)
    expected = upright.resize(_SMALL, Image.Resampling.LANCZOS).rotate(-rotate, expand=True)
    if flip:
        expected = expected.rotate(180)
    assert difference(made, expected) < 3


def test_a_cut_is_taken_from_the_true_place(shared: Converter, tmp_path: Path) -> None:
    upright = photo()
    look = Look(box=(100, 300), fit="cover", gravity="east")
    made = made_from(upright, 1, look, shared, tmp_path)
    whole = upright.resize(_SMALL, Image.Resampling.LANCZOS)
    assert difference(made, whole.crop((300, 0, 400, 300))) < 3


def photo() -> Image.Image:
    """Fine detail at an odd size."""
    cut = opened(IMAGES / "imn_large.jpg").crop((0, 0, 1280, 960))
    return cut.resize(_ODD, Image.Resampling.LANCZOS)


def made_from(
    upright: Image.Image, orientation: int, look: Look, converter: Converter, folder: Path
) -> Image.Image:
    """What the converter makes of ``upright``, stored as a JPEG under ``orientation``."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = orientation in TURNED
    stored = upright.transpose(TURNED[orientation]) if turned else upright
    stored.save(folder / "source.jpg", quality=95, exif=exif)
    variant = Variant("made.png", "png", look, Settings(speed=10))
    converter.convert(Plan(folder / "source.jpg", folder, (variant,)))
    return opened(folder / "made.png")
