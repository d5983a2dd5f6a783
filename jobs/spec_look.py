"""What a token can ask to be done to the pixels: of a format, or of one of its sizes."""

import re
import unicodedata
from typing import Annotated, Any, get_args

from django.conf import settings
from pydantic import AfterValidator, Field, ValidationInfo

from encoders import look as engine
from encoders import plan, typefaces
from jobs.strict import Choice, Number, Rule, Strict, Whole, judged, refusal

MAX_TEXT = 200
MAX_LINES = 5
MAX_MARGIN = 10_000
MAX_FONT_NAME = 100
FONT_SIZES = (4, 1000)
SIGMAS = (0.3, 50)
DEFAULT_TRIM = 10
"""The tolerance that `"trim": true` stands for."""

_COLOR = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})")
_CLEAR = "transparent"
# Controls, halves of surrogate pairs, and the separators that Unicode has beside the newline.
_NO_TEXT = frozenset({"Cc", "Cs", "Zl", "Zp"})
_COLOR_WORDS = '"#rgb", "#rrggbb" or "#rrggbbaa"'


def color(text: str) -> engine.Color:
    """`"#f80"`, `"#ff8800"`, `"#ff880080"` or `"transparent"` as red, green, blue, opacity."""
    if text == _CLEAR:
        return 0, 0, 0, 0
    digits = text[1:]
    if len(digits) == 3:  # noqa: PLR2004 - #rgb
        digits = "".join(digit * 2 for digit in digits)
    red, green, blue, alpha = bytes.fromhex(digits.ljust(8, "f"))
    return red, green, blue, alpha


def _is_color(value: object) -> bool:
    return isinstance(value, str) and _COLOR.fullmatch(value) is not None


_PATTERN = "^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})$"
_Ink = Rule(_COLOR_WORDS, _is_color, {"type": "string", "pattern": _PATTERN})
_Ground = Rule(
    f'{_COLOR_WORDS}, or "{_CLEAR}"',
    lambda value: value == _CLEAR or _is_color(value),
    {"anyOf": [{"type": "string", "pattern": _PATTERN}, {"const": _CLEAR}]},
)
_Trim = Rule(
    f"true, false, or a whole number from 0 to {engine.MAX_TRIM}",
    lambda value: isinstance(value, bool) or (type(value) is int and 0 <= value <= engine.MAX_TRIM),
    {
        "anyOf": [
            {"type": "boolean"},
            {"type": "integer", "minimum": 0, "maximum": engine.MAX_TRIM},
        ]
    },
)
_Gravity = Choice(*get_args(engine.Gravity))
_Sigma = Number(*SIGMAS)


def _text(value: str) -> str:
    if len(value.split("\n")) > MAX_LINES:
        raise refusal("text", f"at most {MAX_LINES} lines")
    if any(unicodedata.category(sign) in _NO_TEXT for sign in value.replace("\n", "")):
        raise refusal("text", "no control characters but the line break")
    if not value.strip():
        raise refusal("text", "there is nothing to see in it")
    return value


def _font(value: str, info: ValidationInfo) -> str:
    known = typefaces.families(settings.PIXERVE.fonts_dir)
    if judged(info) and value not in known:
        raise refusal("font", f"unknown font; known are {', '.join(known)}")
    return value


class WatermarkSpec(Strict):
    """Text on the picture, drawn as it is. `size` and `margin` are pixels of the output."""

    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_text)]
    font: Annotated[str, Field(max_length=MAX_FONT_NAME), AfterValidator(_font)] = typefaces.DEFAULT
    size: Annotated[int, Whole(*FONT_SIZES)] = engine.Watermark.size
    color: Annotated[str, _Ink] = "#ffffff"
    opacity: Annotated[float, Number(0, 1)] = engine.Watermark.opacity
    gravity: Annotated[str, _Gravity] = engine.Watermark.gravity
    margin: Annotated[int, Whole(0, MAX_MARGIN)] = engine.Watermark.margin

    def drawn(self) -> engine.Watermark:
        """As the engine takes it."""
        return engine.Watermark(**{**dict(self), "color": color(self.color)})


class LookSpec(Strict):
    """What is done to the pixels. `null` stands for "not this": it undoes, for one size, what the
    format says."""

    fit: Annotated[str, Choice(*get_args(engine.Fit))] = "inside"
    """How the picture comes into its box."""
    gravity: Annotated[str, _Gravity] = "center"
    """Which part "cover" keeps, and where "contain" puts the picture."""
    enlarge: bool = False
    """Whether a picture smaller than its box is made larger."""
    background: Annotated[str, _Ground] = "#ffffff"
    """The margin of "contain", and what lies under transparency where a format has none."""
    rotate: Annotated[int, Choice(*engine.TURNS)] = 0
    """Degrees clockwise, of the upright picture."""
    flip: Annotated[str, Choice(*get_args(engine.Flip))] | None = None
    trim: Annotated[bool | int, _Trim] | None = None
    """Cut off the border: what differs from the top left corner by at most this (true: 10)."""
    sharpen: Annotated[float, _Sigma] | None = None
    """Sigma in pixels of the output."""
    blur: Annotated[float, _Sigma] | None = None
    """Sigma in pixels of the output."""
    grayscale: bool = False
    watermark: WatermarkSpec | None = None
    color_profile: Annotated[str, Choice(*get_args(engine.ColorProfile))] = "srgb"
    metadata: Annotated[str, Choice(*get_args(plan.Metadata))] = "strip"


_FIELDS = frozenset(LookSpec.model_fields)


def merged(*layers: LookSpec) -> dict[str, Any]:
    """Fields of LookSpec by name: those that were sent, the later layer's over the earlier's."""
    return {
        name: getattr(layer, name) for layer in layers for name in layer.model_fields_set & _FIELDS
    }


def look(box: tuple[int, int] | None, sent: dict[str, Any]) -> engine.Look:
    """What the engine is told, from what `merged` gives; `metadata` is no matter of pixels."""
    values = {name: value for name, value in sent.items() if name != "metadata"}
    if "background" in values:
        values["background"] = color(values["background"])
    if "trim" in values:
        values["trim"] = _tolerance(values["trim"])
    if values.get("watermark") is not None:
        values["watermark"] = values["watermark"].drawn()
    return engine.Look(box=box, **values)


def _tolerance(trim: bool | int | None) -> int | None:
    if trim is None or trim is False:
        return None
    return DEFAULT_TRIM if trim is True else trim
