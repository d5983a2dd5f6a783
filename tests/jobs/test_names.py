"""Names of outputs: plain, short, and told apart."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import names

HASH = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("upload_name", "stem"),
    [
        ("photo.jpg", "photo"),
        ("photo", "photo"),
        ("my photo (1).jpeg", "my-photo-1"),
        ("archive.tar.gz", "archive-tar"),
        (".hidden", "hidden"),
        ("..hidden.png", "hidden"),
        ("a/b/c.png", "c"),
        ("a\\b\\c.png", "c"),
        ("../../etc/passwd", "passwd"),
        ("Crème brûlée.png", "Creme-brulee"),
        ("日本.png", "image"),
        ("", "image"),
        ("...", "image"),
        ("___.png", "image"),
        ("--.png", "image"),
        ("x" * 100 + ".png", "x" * 40),
        ("a" * 39 + " b.png", "a" * 39),
        ("a_b-c.png", "a_b-c"),
        ("a\0b\n.png", "a-b"),
    ],
)
def test_stems(upload_name: str, stem: str) -> None:
    assert names.safe_stem(upload_name) == stem


@pytest.mark.parametrize(
    ("upload_name", "stem"),
    [
        ("1_x.jpg", "1-x"),
        ("20240101_123456.jpg", "20240101-123456"),
        ("12_34_x.jpg", "12-34_x"),
        ("(1_x).jpg", "1-x"),
        ("1.jpg", "1"),
        ("a1_x.jpg", "a1_x"),
    ],
)
def test_a_stem_never_looks_like_the_end_of_a_reference(upload_name: str, stem: str) -> None:
    assert names.safe_stem(upload_name) == stem


SIZES = st.tuples(
    st.none() | st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.none() | st.text("012a-", min_size=1, max_size=4),
)
"""What tells the outputs of one job apart: the box, or a name."""


@given(st.integers(1, 30), st.text("012_-ax", max_size=8), SIZES, SIZES)
def test_two_references_never_share_an_output_name(
    number: int, upload: str, mine: tuple[Any, Any], theirs: tuple[Any, Any]
) -> None:
    stem = names.safe_stem(upload)
    made = names.output_name(f"{HASH}_{number}", stem, "jpg", *mine)
    for pattern in ("{n}_{u}", "_{n}_{u}", "({n}_{u})", "{n}"):
        trick = names.safe_stem(pattern.format(n=number, u=upload))
        for size in (mine, theirs, (None, stem)):
            assert names.output_name(HASH, trick, "jpg", *size) != made


@given(st.text(max_size=80))
def test_a_stem_is_always_safe_and_short(upload_name: str) -> None:
    assert re.fullmatch(
        r"[A-Za-z0-9]([A-Za-z0-9_-]{0,38}[A-Za-z0-9])?", names.safe_stem(upload_name)
    )


def test_outputs_name_the_box_that_was_asked_for() -> None:
    assert names.output_name("h", "photo", "jpg", (800, 600)) == "h_photo_600_800_.jpg"
    assert names.output_name("h", "photo", "webp", (400, 400)) == "h_photo_400_400_.webp"
    assert names.output_name("h", "photo", "png", None) == "h_photo.png"


def test_a_name_takes_the_place_of_the_box() -> None:
    assert names.output_name("h", "photo", "jpg", (800, 600), "thumb") == "h_photo_thumb.jpg"
    assert names.output_name("h", "photo", "jpg", None, "600-800") == "h_photo_600-800.jpg"


def test_a_stem_of_digits_before_a_name_is_no_reference() -> None:
    assert names.output_name("h", "1", "jpg", None, "x") == "h_image-1_x.jpg"
    assert names.output_name("h", "1", "jpg", None) == "h_1.jpg"
    assert names.output_name("h", "1", "jpg", (8, 6)) == "h_1_6_8_.jpg"


def test_keys() -> None:
    assert names.object_key("a/b", "x.jpg") == "a/b/x.jpg"
    assert names.object_key("", "x.jpg") == "x.jpg"


@pytest.mark.parametrize("reference", [HASH, f"{HASH}_1", f"{HASH}_42"])
def test_references(reference: str) -> None:
    assert names.REFERENCE.fullmatch(reference)


@pytest.mark.parametrize(
    "text",
    ["", HASH[1:], HASH.upper(), f"{HASH}_", f"{HASH}_0", f"{HASH}_01", f"{HASH}\n", f"x{HASH}"],
)
def test_what_is_no_reference(text: str) -> None:
    assert not names.REFERENCE.fullmatch(text)
