"""Text on pictures: where it lies, how strong it is, and that it is only ever drawn."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFont, features

from encoders.errors import PictureError
from encoders.library import load_decoders
from encoders.look import Look, Watermark
from encoders.typefaces import BUNDLED, families
from tests.encoders.pictures import difference
from tests.encoders.studio import GRAVITIES, Studio

GROUND = (40, 60, 80)
PAGE = (300, 200)
SANS = BUNDLED / "DejaVuSans.ttf"


def page(mode: str = "RGB", color: tuple[int, ...] = GROUND) -> Image.Image:
    return Image.new(mode, PAGE, color)


def marked(text: str, **options: Any) -> Look:
    return Look(watermark=Watermark(text, **{"opacity": 1.0, "size": 20, **options}))


def ink_box(made: Image.Image, before: Image.Image) -> tuple[int, int, int, int]:
    box = ImageChops.difference(made.convert("RGB"), before.convert("RGB")).getbbox()
    assert box is not None
    return box


def by_pillow(text: str, size: int = 20, file: Path = SANS) -> Image.Image:
    """White on black, cut to the ink, as Pillow alone draws the same characters."""
    canvas = Image.new("L", (2000, 400))
    font = ImageFont.truetype(str(file), size)
    ImageDraw.Draw(canvas).multiline_text((100, 100), text, 255, font=font, spacing=size // 4)
    return canvas.crop(canvas.getbbox())


@pytest.mark.parametrize("gravity", GRAVITIES)
@pytest.mark.parametrize("margin", [0, 12])
def test_it_lies_where_gravity_says(gravity: Any, margin: int, studio: Studio) -> None:
    column, row = GRAVITIES[gravity]
    [made] = studio.make(page(), marked("Mark", gravity=gravity, margin=margin))
    left, top, right, bottom = ink_box(made, page())
    gaps = {"x": (left, PAGE[0] - right), "y": (top, PAGE[1] - bottom)}
    for place, (before, after) in ((column, gaps["x"]), (row, gaps["y"])):
        if place == 1:
            assert abs(before - after) <= 1
        else:
            assert (before if place == 0 else after) == margin


@pytest.mark.parametrize(
    "text",
    [
        "@/etc/passwd",
        "@-",
        "%[fx:1] %w %h %d",
        r"a\nb \t \\ \u0041",
        "<b>bold</b> &amp; <span font='99'>",
        "label:@x caption:y -annotate '0' ; rm $(id) `id`",
        "100 % 'quoted' \"twice\"",
        "${PATH} {{x}} {0}",
        "two\nlines",
    ],
)
def test_every_text_is_drawn_letter_by_letter(text: str, studio: Studio) -> None:
    wide = Image.new("RGB", (900, 120))
    [made] = studio.make(wide, marked(text, gravity="west", color=(255, 255, 255, 255)))
    assert made.convert("L").crop(ink_box(made, wide)) == by_pillow(text)
    assert studio.warnings == []


def test_colour_and_opacity(studio: Studio) -> None:
    """A full block covers its pixels wholly, so that the mix can be computed."""
    full, half, thin = (
        marked("\N{FULL BLOCK}" * 3, gravity="center", size=60, **options)
        for options in (
            {"color": (255, 0, 0, 255)},
            {"color": (255, 0, 0, 255), "opacity": 0.5},
            {"color": (255, 0, 0, 128), "opacity": 0.5},
        )
    )
    for mode in ("RGB", "RGBA"):
        ground = page(mode, (0, 100, 200, 255)[: len(mode)])
        for made, share in zip(studio.make(ground, full, half, thin), (1, 0.5, 0.251), strict=True):
            expected = [255 * share, 100 * (1 - share), 200 * (1 - share)]
            assert made.getpixel((150, 100))[:3] == pytest.approx(expected, abs=1.1)


def test_on_transparency_the_ink_alone_is_seen(studio: Studio) -> None:
    block = {"text": "\N{FULL BLOCK}" * 3, "gravity": "center", "size": 60}
    [made] = studio.make(page("RGBA", (9, 9, 9, 0)), marked(**block, color=(255, 0, 0, 255)))
    assert made.getpixel((150, 100)) == (255, 0, 0, 255)
    assert made.getpixel((2, 2))[3] == 0
    [half] = studio.make(page("RGBA", (0, 0, 255, 128)), marked(**block, opacity=0.5))
    red, green, blue, alpha = half.getpixel((150, 100))
    # "Over" of W3C Compositing 1: 0.5 of white over 0.502 of blue.
    assert alpha == pytest.approx(255 * (0.5 + 0.502 * 0.5), abs=2)
    assert (red, green) == pytest.approx((170, 170), abs=3)
    assert blue == 255


def test_the_other_side_of_the_picture_is_untouched(studio: Studio) -> None:
    [made] = studio.make(page(), marked("Mark", gravity="south-east"))
    assert made.crop((0, 0, 300, 150)) == page().crop((0, 0, 300, 150))


@pytest.mark.parametrize("font", families(None))
def test_each_bundled_family(font: str, studio: Studio) -> None:
    black = page("RGB", (0, 0, 0))
    [made] = studio.make(black, marked("Family", font=font, color=(255, 255, 255, 255)))
    assert made.convert("L").crop(ink_box(made, black)) == by_pillow(
        "Family", file=families(None)[font].path
    )


def test_the_owners_fonts_reach_the_child(studio: Studio, tmp_path: Path) -> None:
    fonts = tmp_path / "fonts"
    fonts.mkdir()
    old, new = ("DejaVu Serif".encode("utf-16-be"), "Fancy Letter".encode("utf-16-be"))
    (fonts / "a.ttf").write_bytes((BUNDLED / "DejaVuSerif.ttf").read_bytes().replace(old, new))
    studio.fonts_dir = fonts
    mine, serif = studio.make(
        page(), marked("abc", font="Fancy Letter"), marked("abc", font="DejaVu Serif")
    )
    assert difference(mine, serif) == 0
    assert ink_box(mine, page())


def test_a_font_that_is_gone_fails_by_name(studio: Studio) -> None:
    with pytest.raises(PictureError, match="Fancy Letter") as caught:
        studio.make(page(), marked("abc", font="Fancy Letter"))
    assert caught.value.code == "font_unavailable"


def test_a_font_that_broke_after_it_was_listed(studio: Studio, tmp_path: Path) -> None:
    """Its names can be read, its outlines cannot."""
    fonts = tmp_path / "fonts"
    fonts.mkdir()
    whole = bytearray((BUNDLED / "DejaVuSansMono.ttf").read_bytes())
    at = whole.index(b"head")
    whole[at : at + 4] = b"hea\0"
    whole = whole.replace(
        "DejaVu Sans Mono".encode("utf-16-be"), "Fancy Sans Mono!".encode("utf-16-be")
    )
    (fonts / "a.ttf").write_bytes(whole)
    studio.fonts_dir = fonts
    with pytest.raises(PictureError) as caught:
        studio.make(page(), marked("abc", font="Fancy Sans Mono!"))
    assert caught.value.code == "font_unavailable"


def test_glyphs_that_the_font_lacks_are_named(studio: Studio) -> None:
    studio.make(page(), marked("a漢b字漢"))
    assert studio.warnings == ["glyph_missing"]
    assert studio.outcome is not None
    assert "漢 字" in studio.outcome.warnings[0].message


@pytest.mark.parametrize(
    "text",
    [
        "שלום עולם",
        "العربية",
        "a שלום b",
        "e\u0301\u0323\u0302 Z\u0351\u036b\u0343",
        "👨\u200d👩\u200d👧",
        "\u202eabc\u202c",
        "क्षि",
        "\n\na\n\n",
        "a\u00adb\ufeff",
        "\U0010ffff",
    ],
)
def test_scripts_of_all_kinds_are_drawn(text: str, studio: Studio) -> None:
    [made] = studio.make(page(), marked(text))
    assert ink_box(made, page())


@pytest.mark.parametrize(
    ("text", "needs"), [("שלום", True), ("aالb", True), ("Z\u0351", True), ("© Ä\n漢 🙂", False)]
)
def test_which_text_needs_a_layout(text: str, needs: bool) -> None:
    load_decoders()
    from encoders.watermark import needs_layout

    assert needs_layout(text) is needs


@pytest.mark.skipif(not features.check("raqm"), reason="this system has no FriBiDi")
def test_right_to_left_is_laid_out_from_the_right(studio: Studio) -> None:
    """Alef and bet: the first letter of the word is the right one."""
    word, alef, bet = studio.make(
        page(), *(marked(text, size=40, gravity="north-west") for text in ("אב", "א", "ב"))
    )
    width = ink_box(bet, page())[2] - ink_box(bet, page())[0]
    left, top, _, bottom = ink_box(word, page())
    area = (left, top, left + width - 2, bottom)
    assert difference(word.crop(area), bet.crop(area)) < difference(
        word.crop(area), alef.crop(area)
    )


@pytest.mark.parametrize("size", [(60, 200), (300, 20), (30, 30)])
def test_a_mark_that_is_too_large_is_set_smaller(size: tuple[int, int], studio: Studio) -> None:
    picture = Image.new("RGB", size, GROUND)
    [made] = studio.make(picture, marked("A long line of text", size=100, margin=4))
    left, top, right, bottom = ink_box(made, picture)
    margin = min(4, min(size) // 4)
    assert min(left, top) >= 0
    assert right <= size[0] - margin + 1
    assert bottom <= size[1] - margin + 1
    assert studio.warnings == ["watermark_shrunk"]


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 2)])
def test_a_picture_that_is_too_small_for_any_text(size: tuple[int, int], studio: Studio) -> None:
    for mode in ("RGB", "RGBA"):
        [made] = studio.make(Image.new(mode, size), marked("x" * 200, size=1000, margin=10_000))
        assert made.size == size
        assert studio.warnings == ["watermark_shrunk"]


def test_it_is_measured_in_pixels_of_each_output(studio: Studio) -> None:
    mark = Watermark("Mark", size=20, opacity=1.0)
    boxes = []
    for made in studio.make(
        Image.new("RGB", (1200, 800), GROUND),
        Look((600, 400), watermark=mark),
        Look((300, 200), watermark=mark),
    ):
        left, top, right, bottom = ink_box(made, Image.new("RGB", made.size, GROUND))
        assert (made.width - right, made.height - bottom) == (16, 16)
        boxes.append((right - left, bottom - top))
    assert boxes[0] == boxes[1]


def test_it_lies_on_the_margin_of_contain_and_over_all_effects(studio: Studio) -> None:
    look = Look(
        (300, 200),
        fit="contain",
        blur=5,
        background=(0, 0, 0, 255),
        watermark=Watermark("X", size=20, opacity=1.0, margin=0, gravity="west"),
    )
    [made] = studio.make(Image.new("RGB", (200, 200), GROUND), look)
    box = (0, 0, 40, 200)
    ink = made.crop(box)
    assert ink.crop(ink_box(ink, Image.new("RGB", ink.size))).convert("L") == by_pillow("X")


def test_lines_lean_to_the_side_of_gravity(studio: Studio) -> None:
    east, west = studio.make(
        page(), marked("wide line\ni", gravity="east"), marked("wide line\ni", gravity="west")
    )
    below = (0, 103, 300, 140)
    assert ink_box(east.crop(below), page().crop(below))[2] >= PAGE[0] - 20
    assert ink_box(west.crop(below), page().crop(below))[0] <= 20


def test_no_file_of_the_text_is_read(studio: Studio, tmp_path: Path) -> None:
    """A secret beside the picture shows in no output: the mark is as wide as its own letters."""
    (tmp_path / "secret").write_text("x" * 60)
    text = f"@{tmp_path}/secret"
    wide = Image.new("RGB", (2000, 80))
    [made] = studio.make(wide, marked(text, gravity="west", color=(255, 255, 255, 255)))
    assert made.convert("L").crop(ink_box(made, wide)) == by_pillow(text)
