"""What a token can ask to be done to the pixels, and under which name it is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.look import Look, Watermark
from encoders.typefaces import BUNDLED
from jobs.errors import InvalidSpec
from jobs.spec import JobSpec, load, parse
from jobs.spec_format import Output, SizeSpec
from tests.jobs.specs import (
    EVERYTHING,
    HOST,
    WRONG_LOOKS,
    WRONG_SETTINGS,
    refused,
    with_field,
    wrong_looks,
)

Configure = Callable[..., None]


def outputs(**jpg: Any) -> tuple[Output, ...]:
    return parse({"formats": {"jpg": jpg}, **HOST}).formats["jpg"].outputs


def sized(*sizes: object, **jpg: Any) -> dict[str, Any]:
    return {"formats": {"jpg": {**jpg, "sizes": list(sizes)}}, **HOST}


def test_everything_at_once() -> None:
    first, second, thumb, full = outputs(**EVERYTHING["formats"]["jpg"])
    mark = Watermark("© two\nlines", "DejaVu Serif", 14, (255, 0, 0, 128), 1, "north", 3)
    assert first == Output(
        (80, 60),
        None,
        Look(
            box=(80, 60),
            fit="cover",
            gravity="north-east",
            enlarge=True,
            background=(255, 136, 0, 255),
            rotate=90,
            flip="both",
            trim=10,
            sharpen=1,
            blur=0.5,
            grayscale=True,
            watermark=mark,
        ),
        "copyright",
    )
    assert (second.box, second.look.watermark) == ((40, 40), mark)
    assert (thumb.name, thumb.look.watermark, thumb.look.trim) == ("Thumb-1", None, None)
    assert (full.name, full.box, full.look.flip) == ("full", None, None)
    assert full.look.background == (0, 0, 0, 0)


def test_settings_reach_the_encoder_and_what_was_not_sent_is_its_choice() -> None:
    settings = parse(EVERYTHING).formats["jpg"].settings.encoding()
    assert (settings.quality, settings.speed, settings.progressive) == (70, 2, True)
    assert (settings.subsampling, settings.lossless, settings.colors) == ("4:4:4", False, 64)
    plain = parse({"formats": {"jpg": {}}, **HOST}).formats["jpg"].settings.encoding()
    assert (plain.quality, plain.speed, plain.progressive) == (80, 6, None)
    assert (plain.subsampling, plain.colors) == (None, None)


def test_without_a_look_nothing_is_done() -> None:
    assert outputs() == (Output(None, None, Look(), "strip"),)
    assert outputs(sizes=[[5]]) == (Output((5, 5), None, Look((5, 5)), "strip"),)
    assert outputs(sizes=[{}]) == (Output(None, None, Look(), "strip"),)


@pytest.mark.parametrize("field", wrong_looks())
def test_a_wrong_field_is_named(field: str) -> None:
    assert refused(wrong_looks()[field]).field == field


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field in WRONG_LOOKS for value in WRONG_LOOKS[field]]
)
def test_wrong_values(field: str, value: object) -> None:
    job = {"formats": {"jpg": with_field(field, value)}, **HOST}
    assert refused(job).field == f"job.formats.jpg.{field}"


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field in WRONG_SETTINGS for value in WRONG_SETTINGS[field]],
)
def test_wrong_settings(field: str, value: object) -> None:
    job = {"formats": {"webp": {"settings": {field: value}}}, **HOST}
    assert refused(job).field == f"job.formats.webp.settings.{field}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trim", 0),
        ("trim", 255),
        ("sharpen", 0.3),
        ("blur", 50),
        ("background", "#0f0"),
        ("background", "#00FF0080"),
        ("watermark.size", 4),
        ("watermark.size", 1000),
        ("watermark.margin", 0),
        ("watermark.margin", 10_000),
        ("watermark.opacity", 0),
        ("watermark.text", "x" * 200),
        ("watermark.text", "1\n2\n3\n4\n5"),
        ("watermark.text", "@/etc/passwd %[fx:1] \\n <b> -font x 'שלום' 🙂"),
        ("settings.colors", 2),
        ("settings.colors", 256),
    ],
)
def test_values_at_their_ends(field: str, value: object) -> None:
    assert outputs(**with_field(field, value))


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("#f80", (255, 136, 0, 255)),
        ("#FF8800", (255, 136, 0, 255)),
        ("#ff880080", (255, 136, 0, 128)),
        ("transparent", (0, 0, 0, 0)),
    ],
)
def test_colours(sent: str, expected: tuple[int, ...]) -> None:
    assert outputs(background=sent)[0].look.background == expected


def test_unknown_fonts_are_answered_with_the_known_ones() -> None:
    error = refused({"formats": {"jpg": with_field("watermark.font", "Comic")}, **HOST})
    assert "known are DejaVu Sans, DejaVu Sans Bold, DejaVu Sans Mono, DejaVu Serif" in (
        error.message
    )


def test_the_owners_fonts_are_known_by_their_family(configure: Configure, tmp_path: Path) -> None:
    shutil.copy(BUNDLED / "DejaVuSansMono.ttf", tmp_path / "zzz.ttf")
    mine = (BUNDLED / "DejaVuSerif.ttf").read_bytes()
    renamed = mine.replace("DejaVu Serif".encode("utf-16-be"), "Fancy Letter".encode("utf-16-be"))
    (tmp_path / "mine.otf").write_bytes(renamed)
    job = {"formats": {"jpg": with_field("watermark.font", "Fancy Letter")}, **HOST}
    assert refused(job).field == "job.formats.jpg.watermark.font"
    configure(fonts_dir=tmp_path)
    stored = parse(job).as_sent()
    configure(fonts_dir=None)
    found = load(stored).formats["jpg"].outputs[0].look.watermark
    assert found is not None
    assert found.font == "Fancy Letter"


# --- sizes, names and twins


def test_the_size_says_more_than_the_format() -> None:
    plain, own = outputs(fit="cover", blur=2, sizes=[[9], {"box": [8, 7], "fit": "fill"}])
    assert plain.look == Look((9, 9), fit="cover", blur=2)
    assert own.look == Look((8, 7), fit="fill", blur=2)


def test_null_undoes_what_the_format_says() -> None:
    undone = dict.fromkeys(("flip", "trim", "sharpen", "blur", "watermark"))
    said = {"flip": "both", "trim": 3, "sharpen": 1, "blur": 1, "watermark": {"text": "x"}}
    assert outputs(**said, sizes=[undone])[0].look == Look()


@pytest.mark.parametrize("name", ["", "a_b", "a b", "a/b", "..", "ä", "x" * 33, 5, None, "a\n"])
def test_names_that_are_none(name: object) -> None:
    assert refused(sized({"name": name})).field == "job.formats.jpg.sizes[0].name"


@pytest.mark.parametrize("box", [[], [0], [1, 2, 3], [16385], None, 5, {"w": 1}])
def test_boxes_that_are_none(box: object) -> None:
    assert refused(sized({"box": box})).field == "job.formats.jpg.sizes[0].box"


@pytest.mark.parametrize(
    ("sizes", "twin"),
    [
        ([[8], {"box": [8, 8], "fit": "cover"}], 1),
        ([{"name": "a"}, [1], {"name": "a", "box": [5]}], 2),
        ([{}, {"blur": 1}], 1),
    ],
)
def test_two_looks_of_one_name(sizes: list[object], twin: int) -> None:
    error = refused(sized(*sizes))
    assert error.field == f"job.formats.jpg.sizes[{twin}]"
    assert "give one a `name`" in error.message


def test_a_name_tells_them_apart() -> None:
    assert parse(sized([8], {"box": [8], "name": "a"}, {"box": [8], "name": "A"}, {"name": "b"}))


def test_jpg_and_jpeg_share_names_too() -> None:
    def both(one: object, two: object) -> dict[str, Any]:
        return {"formats": {"jpg": {"sizes": [one]}, "jpeg": {"sizes": [two]}}, **HOST}

    assert refused(both({"name": "a"}, {"name": "a"})).field == "job.formats.jpeg.sizes[0]"
    assert refused(both({}, {"blur": 1})).field == "job.formats.jpeg.sizes[0]"
    assert parse(both({"name": "a"}, {"name": "b"}))
    assert parse(both({}, {"name": "a"}))


def test_as_sent_keeps_the_words_of_the_token() -> None:
    sent = parse(EVERYTHING).as_sent()
    assert sent == EVERYTHING
    # 2 stays 2 and does not become 2.0, true stays true.
    assert json.dumps(sent, sort_keys=True) == json.dumps(EVERYTHING, sort_keys=True)
    assert load(sent) == parse(EVERYTHING)


def test_stored_looks_outlive_stricter_settings(configure: Configure) -> None:
    stored = parse(sized({"box": [5000], "name": "a"}, {"box": [4000, 1]})).as_sent()
    configure(max_side=100)
    found = load(stored).formats["jpg"].outputs
    assert [each.box for each in found] == [(5000, 5000), (4000, 1)]


# --- whatever comes

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["cover", "north", "#fff", "transparent", "both", "keep", "4:2:0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["text", "size", "color", "box", "name", "x"]), inner)
    ),
    max_leaves=8,
)
fields = st.sampled_from([field.alias for field in SizeSpec.model_fields.values()] + ["settings"])


@given(st.dictionaries(fields, values, max_size=4), st.lists(values, max_size=3))
def test_whatever_a_format_holds_is_a_look_or_a_refusal(said: Any, sizes: Any) -> None:
    job = {"formats": {"jpg": {**said, "sizes": [*sizes, said]}}, **HOST}
    try:
        found = parse(job)
    except InvalidSpec as error:
        refused_field = error.field or ""
    else:
        _holds(found)
        return
    assert refused_field.startswith("job.")


def _holds(found: JobSpec) -> None:
    assert load(found.as_sent()) == found
    assert all(isinstance(output.look, Look) for output in found.formats["jpg"].outputs)
    json.dumps(found.as_sent(), allow_nan=False)
