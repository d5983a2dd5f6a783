"""What is asked of every peer."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

EQUAL = {"jpg": None, "webp": 2, "avif": 9, "png": 3}
"""What the token's default speed 6 means to the codecs: libwebp's method, libaom's speed, zlib's
level (see the tables in encoders/webp.py, avif.py and png.py)."""

LOSSY = ("jpg", "webp", "avif")


@dataclass(frozen=True)
class Output:
    """One file: at most ``box`` pixels; ``effort`` in the codec's own terms, None: the default."""

    format: str
    box: tuple[int, int]
    quality: int
    effort: int | None = None

    def to_json(self, path: Path) -> dict[str, Any]:
        """As the programs read it."""
        return {
            "format": self.format,
            "width": self.box[0],
            "height": self.box[1],
            "quality": self.quality,
            "effort": self.effort,
            "path": str(path),
        }


@dataclass(frozen=True)
class Workload:
    """One upload: ``pictures`` names the sources (see ``benchmarks.engine.pictures``)."""

    name: str
    title: str
    pictures: tuple[str, ...]
    outputs: tuple[Output, ...]

    @property
    def lossy(self) -> tuple[str, ...]:
        """The formats whose quality can be set."""
        return tuple(kind for kind in LOSSY if any(each.format == kind for each in self.outputs))


def with_quality(
    outputs: tuple[Output, ...], qualities: dict[str, int], *, equal_effort: bool
) -> tuple[Output, ...]:
    """``outputs`` with a peer's own quality for each format."""
    return tuple(
        replace(
            each,
            quality=qualities.get(each.format, each.quality),
            effort=EQUAL[each.format] if equal_effort else None,
        )
        for each in outputs
    )


def _square(kind: str, quality: int, *sides: int) -> tuple[Output, ...]:
    return tuple(Output(kind, (side, side), quality) for side in sides)


_SIZES = ("2", "6", "12", "24")

WORKLOADS = (
    Workload(
        "W1",
        "jpg q80 in 800 x 600 and 400 x 300, webp q85 at 800 and 400",
        _SIZES,
        (
            Output("jpg", (800, 600), 80),
            Output("jpg", (400, 300), 80),
            *_square("webp", 85, 800, 400),
        ),
    ),
    Workload(
        "W2",
        "avif q50, webp q80 and jpg q80, each at 1600, 800 and 400",
        _SIZES,
        (
            *_square("avif", 50, 1600, 800, 400),
            *_square("webp", 80, 1600, 800, 400),
            *_square("jpg", 80, 1600, 800, 400),
        ),
    ),
    Workload("W3", "one jpg q80 in 400 x 300", _SIZES, (Output("jpg", (400, 300), 80),)),
    Workload(
        "PNG",
        "PNG with alpha to webp q80 and png at 800 and 400",
        ("alpha",),
        (*_square("webp", 80, 800, 400), *_square("png", 80, 800, 400)),
    ),
    Workload("100MP", "100 megapixels to one jpg q80 at 800", ("100",), _square("jpg", 80, 800)),
    Workload(
        "ANIM",
        "24 frames of 480 x 270 to webp q80 at 240",
        ("animation",),
        _square("webp", 80, 240),
    ),
)
