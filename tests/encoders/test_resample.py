"""The fast kernel does what Pillow's does."""

import numpy as np
import pytest
from PIL import Image

from encoders import resample as kernels
from encoders.geometry import Area, Size
from encoders.resample import resample
from tests.encoders.pictures import IMAGES

PARTS: list[tuple[Size, Area]] = [
    ((200, 150), (0, 0, 611.5, 458.25)),
    ((333, 77), (10.25, 20, 400, 300)),
    ((900, 700), (0, 0, 611, 458)),
]


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    with Image.open(IMAGES / "imn_large.jpg") as image:
        return image.convert("RGB").resize((612, 459))


@pytest.mark.parametrize("mode", sorted(kernels.KNOWN))
@pytest.mark.parametrize(("size", "area"), PARTS)
def test_it_is_lanczos_as_pillow_does_it(
    photo: Image.Image, mode: str, size: Size, area: Area
) -> None:
    source = photo.convert(mode)
    if mode == "RGBA":
        source.putalpha(photo.getchannel("G"))
    made = resample(source, size, area)
    assert (made.mode, made.size) == (mode, size)
    expected = source.resize(size, Image.Resampling.LANCZOS, box=area)
    # Where there is next to no alpha, rounding decides the colours, which nobody sees.
    seen = np.asarray(expected)[..., 3:] / 255 if mode == "RGBA" else 1.0
    apart = np.abs(np.asarray(made, int) - np.asarray(expected, int)) * seen
    assert apart.max() <= 12
    assert apart.mean() < 0.5


def test_colours_do_not_bleed_from_where_nothing_is_seen() -> None:
    source = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    source.paste((0, 0, 255, 255), (32, 0, 64, 64))
    made = resample(source, (16, 16), (0, 0, 64, 64))
    assert max(red for red, _, _, alpha in made.get_flattened_data() if alpha > 16) == 0


def test_modes_it_does_not_know_are_resized_all_the_same(photo: Image.Image) -> None:
    assert resample(photo.convert("LAB"), (64, 48), (0, 0, 612, 459)).mode == "LAB"


def test_without_it_pillow_resizes(photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = resample(photo, (200, 150), (0, 0, 612, 459))
    monkeypatch.setattr(kernels, "Resizer", None)
    plain = resample(photo, (200, 150), (0, 0, 612, 459))
    assert np.abs(np.asarray(fast, int) - np.asarray(plain, int)).max() <= 12
    clear = resample(photo.convert("RGBA"), (200, 150), (0, 0, 612, 459))
    assert clear.mode == "RGBA"
