"""What a token asks for, in words: one row for each output.

Read from the stored instructions as they are, so that a page shows even those that the rules of
today would refuse.
"""

from collections.abc import Callable, Iterator
from typing import Any

from encoders.plan import ORIGINAL
from jobs.spec_format import DEFAULT_QUALITY, DEFAULT_SPEED
from jobs.spec_look import DEFAULT_TRIM

Sent = dict[str, Any]


def _switch(words: str) -> Callable[[Any], str]:
    return lambda value: words if value is True else ""


def _trim(value: Any) -> str:
    tolerance = DEFAULT_TRIM if value is True else value
    return "" if value is False else f"border trimmed (tolerance {tolerance})"


def _watermark(value: Any) -> str:
    if not isinstance(value, dict):
        return f"watermark {value}"
    rest = ", ".join(f"{name} {said}" for name, said in value.items() if name != "text")
    return f"watermark “{value.get('text')}”" + (f" ({rest})" if rest else "")


_WORDS: dict[str, Callable[[Any], str]] = {
    "progressive": lambda value: "progressive" if value else "not progressive",
    "subsampling": "chroma {}".format,
    "lossless": _switch("lossless"),
    "colors": "{} colours".format,
    "rotate": lambda value: f"rotated by {value}°" if value else "",
    "flip": lambda value: "flipped both ways" if value == "both" else f"flipped {value}ly",
    "trim": _trim,
    "gravity": "towards {}".format,
    "enlarge": _switch("enlarged if small"),
    "background": "background {}".format,
    "colorProfile": lambda value: "colour profile kept" if value == "keep" else "",
    "grayscale": _switch("grey"),
    "blur": "blurred by {}".format,
    "sharpen": "sharpened by {}".format,
    "watermark": _watermark,
    "metadata": lambda value: "" if value == "strip" else f"metadata: {value}",
}
"""In the order of the work. The fit has a column with the size."""


def asked_outputs(spec: Sent) -> Iterator[dict[str, Any]]:
    """Format, size, quality, speed and the rest of what the instructions ask of each output."""
    for name, each in spec.get("formats", {}).items():
        settings = each.get("settings", {})
        for size in each.get("sizes") or [None]:
            own = size if isinstance(size, dict) else {"box": size}
            said = {**settings, **each, **own}
            yield {
                "format": name,
                "size": _size(said),
                "quality": settings.get("quality", DEFAULT_QUALITY),
                "speed": settings.get("speed", DEFAULT_SPEED),
                "also": _also(said),
            }
    if spec.get("keepOriginal"):
        size = {"format": ORIGINAL, "size": "as uploaded", "quality": "—", "speed": "—"}
        yield {**size, "also": ""}


def _size(said: Sent) -> str:
    box, name = said.get("box"), said.get("name")
    size = f"{box[0]} × {box[-1]}" if box else "native size"
    fit = f", {said['fit']}" if box and said.get("fit", "inside") != "inside" else ""
    return f"{size}{fit}" + (f" (“{name}”)" if name else "")


def _also(said: Sent) -> str:
    sent = ((words, said[name]) for name, words in _WORDS.items() if said.get(name) is not None)
    return ", ".join(filter(None, (words(value) for words, value in sent)))
