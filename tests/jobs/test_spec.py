"""The `job` of a token: what is taken, and what is refused under which field's name."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from jobs.errors import InvalidSpec
from jobs.spec import JobSpec, load, parse
from tests.jobs.specs import HOST, JPG, refused
from tests.server import EXAMPLE_JOB

Configure = Callable[..., None]


def sized(*sizes: object) -> dict[str, Any]:
    return {"formats": {"jpg": {"sizes": list(sizes)}}, **HOST}


def boxes(found: JobSpec, name: str) -> tuple[tuple[int, int] | None, ...]:
    return tuple(output.box for output in found.formats[name].outputs)


def test_the_example() -> None:
    found = parse(EXAMPLE_JOB)
    assert (found.priority, found.keep_original, found.direct_host) == (0, False, True)
    assert found.sub_dir == "tenant-123"
    assert boxes(found, "jpg") == ((800, 600), (400, 300))
    assert boxes(found, "webp") == ((800, 800), (400, 400))
    assert (found.formats["jpg"].settings.quality, found.formats["jpg"].settings.speed) == (80, 1)


def test_defaults() -> None:
    found = parse(JPG)
    assert boxes(found, "jpg") == (None,)
    assert (found.formats["jpg"].settings.quality, found.formats["jpg"].settings.speed) == (80, 6)
    assert (found.priority, found.keep_original, found.storage_keys) == (0, False, {})
    assert found.completion_callback is found.sub_dir is None


def test_it_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        parse(JPG).priority = 5  # type: ignore[misc]


def test_only_the_original() -> None:
    assert parse({"keepOriginal": True, **HOST}).formats == {}


@pytest.mark.parametrize("name", ["jpg", "jpeg", "png", "webp", "avif"])
def test_formats(name: str) -> None:
    assert parse({"formats": {name: {}}, **HOST})


# Whole and fields

UNKNOWN = {
    "job.unknown": {**JPG, "unknown": 1},
    "job.directhost": {**JPG, "directhost": True},
    "job.direct_host": {**JPG, "direct_host": True},
    "job.formats.jpg.size": {"formats": {"jpg": {"size": [[1]]}}, **HOST},
    "job.formats.jpg.settings.effort": {"formats": {"jpg": {"settings": {"effort": 1}}}, **HOST},
    "job.formats.jpg.sizes[0].width": {"formats": {"jpg": {"sizes": [{"width": 8}]}}, **HOST},
    "job.formats.bmp": {"formats": {"bmp": {}}, **HOST},
    "job.formats.JPG": {"formats": {"JPG": {}}, **HOST},
    "job.formats.original": {"formats": {"original": {}}, **HOST},
    "job.formats.": {"formats": {"": {}}, **HOST},
    "job.storageKeys.ftp": {**JPG, "storageKeys": {"ftp": "x"}},
    "job.__class__": {**JPG, "__class__": 1},
}


@pytest.mark.parametrize("field", UNKNOWN)
def test_what_is_unknown_is_named(field: str) -> None:
    assert refused(UNKNOWN[field]).field == field


@pytest.mark.parametrize("job", [None, [], "text", 5, True, 1.5, [JPG]])
def test_what_is_no_object(job: object) -> None:
    assert refused(job).field == "job"


WRONG: list[tuple[str, object]] = [
    ("priority", True),
    ("priority", "0"),
    ("priority", 1.0),
    ("priority", -1),
    ("priority", 1001),
    ("priority", 10**400),
    ("priority", float("nan")),
    ("priority", None),
    ("keepOriginal", 1),
    ("keepOriginal", "true"),
    ("keepOriginal", None),
    ("directHost", 1),
    ("directHost", "yes"),
    ("formats", []),
    ("formats", "jpg"),
    ("formats", ["jpg"]),
    ("formats", None),
    ("storageKeys", []),
    ("storageKeys", "s3"),
    ("subDir", 5),
    ("subDir", ["a"]),
    ("completionCallback", 5),
    ("completionCallback", ["https://example.com"]),
    ("callbackHeaders", []),
    ("callbackHeaders", "X: y"),
    ("callbackHeaders", None),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_wrong_types_and_ranges(field: str, value: object) -> None:
    assert refused({**JPG, field: value}).field == f"job.{field}"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("quality", 0),
        ("quality", 101),
        ("quality", -5),
        ("quality", 80.0),
        ("quality", 80.5),
        ("quality", "80"),
        ("quality", True),
        ("quality", None),
        ("quality", 10**30),
        ("quality", float("inf")),
        ("speed", -1),
        ("speed", 11),
        ("speed", False),
        ("speed", "fast"),
    ],
)
def test_settings_out_of_range(setting: str, value: object) -> None:
    job = {"formats": {"webp": {"settings": {setting: value}}}, **HOST}
    assert refused(job).field == f"job.formats.webp.settings.{setting}"


@pytest.mark.parametrize("quality", [1, 100])
@pytest.mark.parametrize("speed", [0, 10])
def test_settings_at_their_ends(quality: int, speed: int) -> None:
    settings = {"quality": quality, "speed": speed}
    found = parse({"formats": {"webp": {"settings": settings}}, **HOST})
    assert found.formats["webp"].settings.model_dump(exclude_unset=True) == settings


@pytest.mark.parametrize("value", [None, [], "x", 5, True])
def test_a_format_that_is_no_object(value: object) -> None:
    assert refused({"formats": {"jpg": value}, **HOST}).field == "job.formats.jpg"


# Sizes

BAD_SIZES: list[object] = [
    [],
    [0],
    [-1],
    [1, 2, 3],
    [800, 0],
    [0, 800],
    [800.0],
    [800, 600.0],
    ["800"],
    [True],
    [800, True],
    [None],
    [[800]],
    [float("nan")],
    [float("inf")],
    [10**30],
    [16385],
    [1, 16385],
    800,
    "800x600",
    None,
]


@pytest.mark.parametrize("size", BAD_SIZES)
def test_sizes_that_are_none(size: object) -> None:
    assert refused(sized([10], size)).field == "job.formats.jpg.sizes[1]"


@pytest.mark.parametrize("sizes", [5, "x", {}, None, True])
def test_sizes_that_are_no_list(sizes: object) -> None:
    job = {"formats": {"jpg": {"sizes": sizes}}, **HOST}
    assert refused(job).field == "job.formats.jpg.sizes"


def test_no_sizes_in_the_list_means_the_native_size() -> None:
    assert boxes(parse(sized()), "jpg") == (None,)


def test_the_longest_side_is_the_owners(configure: Configure) -> None:
    configure(max_side=1000)
    assert boxes(parse(sized([1000, 1])), "jpg") == ((1000, 1),)
    assert "1000" in refused(sized([1001, 1])).message


@pytest.mark.parametrize(
    ("sizes", "twin"),
    [([[800], [800, 800]], 1), ([[8, 6], [1], [8, 6]], 2), ([[5], [5]], 1)],
)
def test_sizes_that_would_share_a_name(sizes: list[object], twin: int) -> None:
    assert refused(sized(*sizes)).field == f"job.formats.jpg.sizes[{twin}]"


def test_jpg_and_jpeg_share_a_name_only_at_the_same_size() -> None:
    def both(one: list[list[int]], two: list[list[int]]) -> dict[str, Any]:
        return {"formats": {"jpg": {"sizes": one}, "jpeg": {"sizes": two}}, **HOST}

    assert refused(both([[800]], [[5], [800, 800]])).field == "job.formats.jpeg.sizes[1]"
    assert "jpeg" in (refused({"formats": {"jpg": {}, "jpeg": {}}, **HOST}).field or "")
    assert parse(both([[800]], [[801]]))


def test_how_many_variants(configure: Configure) -> None:
    most = [[side] for side in range(1, 65)]
    assert parse(sized(*most))
    assert refused(sized(*most, [65])).field == "job.formats"
    assert refused({**sized(*most), "keepOriginal": True}).field == "job.formats"
    configure(max_variants=2)
    assert parse({"formats": {"jpg": {}, "png": {}}, **HOST})
    assert "at most 2" in refused({"formats": {"jpg": {}, "png": {}, "webp": {}}, **HOST}).message


# All at once, and back


def test_all_that_is_wrong_is_listed() -> None:
    error = refused({"priority": "x", "nonsense": 1, "formats": {"jpg": {"sizes": [[0]]}}})
    fields = {each["field"] for each in error.errors}
    assert fields == {"job.priority", "job.nonsense", "job.formats.jpg.sizes[0]"}


def test_a_thousand_faults_make_a_short_answer() -> None:
    error = refused({f"field {number} {'x' * 500}": 1 for number in range(1000)})
    assert len(error.errors) <= 20
    assert all(len(each["field"]) <= 200 for each in error.errors)


def test_as_sent_is_what_was_sent() -> None:
    assert parse(EXAMPLE_JOB).as_sent() == EXAMPLE_JOB
    assert parse(JPG).as_sent() == JPG


def test_stored_specs_outlive_stricter_settings(configure: Configure) -> None:
    job = {**sized([5000], [4000]), "completionCallback": "http://127.0.0.1:9/x"}
    stored = parse(job).as_sent()
    configure(max_side=100, max_variants=1, callback_allow_private=())
    found = load(stored)
    assert boxes(found, "jpg") == ((5000, 5000), (4000, 4000))
    assert found.completion_callback == "http://127.0.0.1:9/x"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=15), inner),
    max_leaves=20,
)
names = st.sampled_from([*(to_camel(name) for name in JobSpec.model_fields), "other"])


@given(st.dictionaries(names, json_values, max_size=6) | json_values)
def test_whatever_comes_is_a_spec_or_a_refusal(job: object) -> None:
    try:
        sent = parse(job).as_sent()
    except InvalidSpec as error:
        refused_field = error.field or ""
    else:
        assert load(sent).as_sent() == sent
        return
    assert refused_field.startswith("job")
