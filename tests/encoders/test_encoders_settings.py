"""The settings of each format."""

from pathlib import Path

import pytest
from PIL import Image, JpegImagePlugin

from encoders.picture import Frame, Picture
from tests.encoders.encoding import PROFILE, XMP, encode, exif, fading, photo, same, size_of
from tests.encoders.pictures import IMAGES, difference, opened

GRAY = Image.linear_gradient("L").convert("RGB")


def blurred_error(one: Image.Image, other: Image.Image) -> float:
    """Mean difference as seen from afar, on gray: dithering evens out, banding does not."""
    seen = []
    for image in (one, other):
        under = Image.new("RGBA", image.size, (128, 128, 128, 255))
        under.alpha_composite(image.convert("RGBA"))
        seen.append(under.convert("RGB").reduce(4))
    return difference(seen[0], seen[1])


@pytest.mark.parametrize(
    ("given", "speed", "expected"),
    [(None, 3, True), (None, 4, False), (True, 10, True), (False, 0, False)],
)
def test_a_jpeg_is_progressive(
    given: bool | None, speed: int, expected: bool, tmp_path: Path
) -> None:
    path = encode("jpg", tmp_path, photo(), progressive=given, speed=speed)
    with Image.open(path) as image:
        assert bool(image.info.get("progressive")) == expected


@pytest.mark.parametrize(
    ("given", "expected"), [(None, 2), ("4:2:0", 2), ("4:2:2", 1), ("4:4:4", 0)]
)
def test_the_chroma_of_a_jpeg(given: str | None, expected: int, tmp_path: Path) -> None:
    with Image.open(encode("jpg", tmp_path, photo(), subsampling=given)) as image:
        assert JpegImagePlugin.get_sampling(image) == expected


def test_metadata_too_long_for_a_jpeg_segment_is_left_out(tmp_path: Path) -> None:
    picture = Picture((Frame(photo()),), 0, PROFILE * 40, bytes(70_000), bytes(70_000))
    with Image.open(encode("jpg", tmp_path, picture)) as image:
        assert image.info["icc_profile"] == PROFILE * 40
        assert not image.info.keys() & {"exif", "xmp"}


@pytest.mark.parametrize(
    ("given", "bits"), [(None, 0b1100), ("4:2:0", 0b1100), ("4:2:2", 0b1000), ("4:4:4", 0)]
)
def test_the_chroma_of_an_avif(given: str | None, bits: int, tmp_path: Path) -> None:
    data = encode("avif", tmp_path, photo(), subsampling=given, speed=10).read_bytes()
    flags = data[data.index(b"av1C") + 6]
    assert flags & 0b1100 == bits


def test_avif_keeps_alpha(tmp_path: Path) -> None:
    made = opened(encode("avif", tmp_path, fading(), quality=90, subsampling="4:4:4"), "RGBA")
    assert difference(made.getchannel("A"), fading().getchannel("A")) < 1


@pytest.mark.parametrize("image", [photo(), fading()], ids=["opaque", "fading"])
@pytest.mark.parametrize("speed", [0, 6, 10])
def test_lossless_webp_keeps_every_pixel(image: Image.Image, speed: int, tmp_path: Path) -> None:
    path = encode("webp", tmp_path, image, lossless=True, speed=speed, quality=1)
    assert same(opened(path, "RGBA"), image)


def test_lossy_webp_keeps_alpha_as_it_is(tmp_path: Path) -> None:
    made = opened(encode("webp", tmp_path, fading(), quality=1), "RGBA")
    assert made.getchannel("A").tobytes() == fading().getchannel("A").tobytes()


@pytest.mark.parametrize("colors", [2, 3, 16, 100, 256])
@pytest.mark.parametrize("image", [photo(), fading()], ids=["opaque", "fading"])
@pytest.mark.parametrize("name", ["png", "gif"])
def test_a_palette_has_at_most_so_many_colours(
    name: str, image: Image.Image, colors: int, tmp_path: Path
) -> None:
    path = encode(name, tmp_path, image, colors=colors)
    with Image.open(path) as made:
        assert made.mode == "P"
    used = opened(path, "RGBA").getcolors(colors)
    assert used is not None
    assert len(used) >= min(colors, 100) * 0.6


@pytest.mark.parametrize(
    ("image", "colors", "most"),
    [(photo(), 256, 1), (photo(), 64, 2), (photo(), 16, 6), (fading(), 256, 2), (fading(), 64, 4)],
)
def test_a_palette_is_dithered(image: Image.Image, colors: int, most: int, tmp_path: Path) -> None:
    made = opened(encode("png", tmp_path, image, colors=colors), "RGBA")
    assert blurred_error(made, image) < most
    plain = image.quantize(colors, method=Image.Quantize.FASTOCTREE)
    assert blurred_error(made, image) < blurred_error(plain.convert("RGBA"), image)


def test_dithering_leaves_opaque_and_hidden_pixels_so(tmp_path: Path) -> None:
    image = photo().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, image.width // 2, image.height))
    made = opened(encode("png", tmp_path, image, colors=200), "RGBA").getchannel("A")
    assert made.tobytes() == image.getchannel("A").tobytes()


@pytest.mark.parametrize("name", ["pst_tbbn3p08.png", "pil_hopper.gif", "pst_s01n3p01.png"])
def test_few_colours_are_kept_exactly(name: str, tmp_path: Path) -> None:
    with Image.open(IMAGES / name) as source:
        image = source.convert("RGBA" if source.has_transparency_data else "RGB")
    for settings in ({}, {"colors": 256}):
        path = encode("png", tmp_path, image, **settings)
        assert same(opened(path, "RGBA"), image)
        with Image.open(path) as made:
            assert made.mode == "P"


def test_a_gray_png_is_gray(tmp_path: Path) -> None:
    faded = GRAY.copy()
    faded.putalpha(Image.linear_gradient("L").rotate(90))
    for image, mode in ((GRAY, "L"), (faded, "LA")):
        path = encode("png", tmp_path, image)
        with Image.open(path) as made:
            assert made.mode == mode
        assert same(opened(path, "RGBA"), image)


def test_gray_beside_a_profile_stays_rgb(tmp_path: Path) -> None:
    with Image.open(encode("png", tmp_path, Picture((Frame(GRAY),), profile=PROFILE))) as made:
        assert made.mode in {"P", "RGB"}


def test_one_coloured_pixel_is_not_overlooked(tmp_path: Path) -> None:
    image = GRAY.copy()
    image.putpixel((200, 100), (90, 91, 90))
    assert same(opened(encode("png", tmp_path, image)), image)


def test_a_gif_shows_a_pixel_from_half_opacity_on(tmp_path: Path) -> None:
    image = Image.new("RGBA", (3, 1), (200, 10, 10, 255))
    image.putpixel((1, 0), (200, 10, 10, 128))
    image.putpixel((2, 0), (200, 10, 10, 127))
    made = opened(encode("gif", tmp_path, image), "RGBA")
    assert [made.getpixel((x, 0))[3] for x in range(3)] == [255, 255, 0]
    assert made.getpixel((1, 0))[:3] == (200, 10, 10)


@pytest.mark.parametrize("opacity", [0, 255])
def test_a_gif_of_one_kind_of_pixel(opacity: int, tmp_path: Path) -> None:
    image = Image.new("RGBA", (5, 4), (1, 2, 3, opacity))
    for colors in (2, 256):
        made = opened(encode("gif", tmp_path, image, colors=colors), "RGBA")
        assert made.getchannel("A").getextrema() == (opacity, opacity)


def test_tiff_is_packed_by_speed(tmp_path: Path) -> None:
    for speed, packing in ((0, "tiff_adobe_deflate"), (5, "tiff_adobe_deflate"), (6, "tiff_lzw")):
        with Image.open(encode("tiff", tmp_path, fading(), speed=speed)) as image:
            assert (image.info["compression"], image.mode) == (packing, "RGBA")
            assert same(image, fading())


def test_tiff_takes_no_tag_that_describes_other_pixels(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags.update({0x0100: 7, 0x0111: 8, 0x0112: 1, 0x013B: "Ada"})
    block = tags.tobytes().removeprefix(b"Exif\0\0")
    path = encode("tiff", tmp_path, Picture((Frame(photo()),), exif=block))
    with Image.open(path) as image:
        assert image.getexif()[0x013B] == "Ada"
        assert same(image, photo())


def test_a_palette_makes_a_photo_smaller(tmp_path: Path) -> None:
    whole = size_of(encode("png", tmp_path, photo()))
    assert size_of(encode("png", tmp_path, photo(), colors=256)) < whole / 2


def test_metadata_beside_a_palette(tmp_path: Path) -> None:
    picture = Picture((Frame(fading()),), 0, PROFILE, exif(), XMP)
    with Image.open(encode("png", tmp_path, picture, colors=50)) as image:
        image.load()
        assert image.info["icc_profile"] == PROFILE
        assert image.info["xmp"] == XMP
