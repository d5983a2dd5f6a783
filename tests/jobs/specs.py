"""Instructions to start a test from, and what a refusal of them looks like."""

from typing import Any

import pytest

from jobs.errors import InvalidSpec
from jobs.spec import parse

HOST = {"directHost": True}
JPG = {"formats": {"jpg": {}}, **HOST}


def refused(job: object) -> InvalidSpec:
    with pytest.raises(InvalidSpec) as caught:
        parse(job)
    error = caught.value
    assert error.code == "invalid_spec"
    assert error.errors
    assert error.field == error.errors[0]["field"]
    return error


EVERYTHING: dict[str, Any] = {
    "formats": {
        "jpg": {
            "settings": {
                "quality": 70,
                "speed": 2,
                "progressive": True,
                "subsampling": "4:4:4",
                "lossless": False,
                "colors": 64,
            },
            "fit": "cover",
            "gravity": "north-east",
            "enlarge": True,
            "background": "#f80",
            "rotate": 90,
            "flip": "both",
            "trim": True,
            "sharpen": 1,
            "blur": 0.5,
            "grayscale": True,
            "watermark": {
                "text": "© two\nlines",
                "font": "DejaVu Serif",
                "size": 14,
                "color": "#ff000080",
                "opacity": 1,
                "gravity": "north",
                "margin": 3,
            },
            "colorProfile": "srgb",
            "metadata": "copyright",
            "sizes": [
                [80, 60],
                [40],
                {"box": [20, 20], "name": "Thumb-1", "watermark": None, "trim": False},
                {"name": "full", "background": "transparent", "flip": None},
            ],
        }
    },
    **HOST,
}
"""A job with every field that a format and a size can have."""

WRONG_LOOKS: dict[str, list[object]] = {
    "fit": ["inner", "Cover", 1, None, ["cover"]],
    "gravity": ["centre", "north_east", "northeast", 0, None],
    "enlarge": [1, "yes", None],
    "background": ["red", "#ff", "#ffff", "#fffff", "#gggggg", "fff", "", 0, None, [0, 0, 0]],
    "rotate": [45, 360, -90, 90.0, "90", True, False, None],
    "flip": ["left", True, 1, ""],
    "trim": [-1, 256, 1.0, "10"],
    "sharpen": [0, 0.29, 50.1, -1, "1", True, 1e400, 10**400],
    "blur": [0, 0.29, 50.1, -1, "1", True, 1e400],
    "grayscale": [1, "true", None],
    "watermark": ["text", [], True, 5],
    "watermark.text": [
        "",
        " \n ",
        "a\tb",
        "a\0b",
        "a\rb",
        "\u2028",
        "\ud800",
        "x" * 201,
        "6" + "\n" * 5,
        5,
    ],
    "watermark.font": ["", "Comic", "dejavu sans", "/etc/passwd", "../fonts/x.ttf", 5, None],
    "watermark.size": [3, 1001, 12.5, "12", True, None],
    "watermark.color": ["transparent", "white", "#12345", None],
    "watermark.opacity": [-0.1, 1.1, "1", True, None],
    "watermark.gravity": ["bottom", None],
    "watermark.margin": [-1, 10_001, 1.5, None],
    "watermark.colour": ["#fff"],
    "colorProfile": ["p3", True, None],
    "metadata": ["exif", False, None],
    "color_profile": ["srgb"],
}
"""Values that each field of a look must refuse."""

WRONG_SETTINGS: dict[str, list[object]] = {
    "progressive": [1, "yes", None],
    "subsampling": ["420", "4:1:1", 420, None],
    "lossless": [1, "yes", None],
    "colors": [1, 257, 16.0, "16", True, None],
}


def with_field(field: str, value: object) -> dict[str, Any]:
    """`{"a": {"b": value}}` for the field `a.b`, with the text that every watermark needs."""
    first, _, rest = field.partition(".")
    if not rest:
        return {first: value}
    return {first: {**({"text": "x"} if first == "watermark" else {}), **with_field(rest, value)}}


def wrong_looks() -> dict[str, dict[str, Any]]:
    """Where a wrong field is → a job with the first wrong value there: of a format, of a size."""
    found = {}
    for field, values in WRONG_LOOKS.items():
        wrong = with_field(field, values[0])
        found[f"job.formats.jpg.{field}"] = {"formats": {"jpg": wrong}, **HOST}
        sized = {"formats": {"jpg": {"sizes": [[1], {"box": [2], **wrong}]}}, **HOST}
        found[f"job.formats.jpg.sizes[1].{field}"] = sized
    for field, values in WRONG_SETTINGS.items():
        settings = {"settings": {field: values[0]}}
        found[f"job.formats.jpg.settings.{field}"] = {"formats": {"jpg": settings}, **HOST}
    return found
