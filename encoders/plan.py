"""What a conversion is asked for and what it answers; all of it travels as JSON."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from encoders.header import Header
from encoders.limits import Limits

ORIGINAL = "original"
"""The format of a variant that is a byte copy of the source."""

QUALITIES = range(1, 101)
SPEEDS = range(11)


@dataclass(frozen=True)
class Variant:
    """One requested output.

    ``name`` is the file name to write in the plan's folder; ``format`` a canonical encoder name or
    ``original``; ``box`` the width and height to fit into (None: native size). ``quality`` is 1 to
    100; ``speed`` runs from 0 (smallest file) to 10 (fastest). ``asked`` names the settings that
    the client gave itself: if the format cannot use one, the outcome says so.
    Raises ValueError for a value out of range.
    """

    name: str
    format: str
    box: tuple[int, int] | None = None
    quality: int = 80
    speed: int = 6
    asked: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.name in {"", ".", ".."} or "/" in self.name or "\0" in self.name:
            raise ValueError("a variant's name must be a plain file name")
        if self.box is not None and min(self.box) < 1:
            raise ValueError("a variant's box must have sides of at least 1")
        if self.quality not in QUALITIES or self.speed not in SPEEDS:
            raise ValueError("a variant's quality or speed is out of range")


@dataclass(frozen=True)
class Plan:
    """One job: every variant is made from one decode of ``source``, into ``out_dir``."""

    source: Path
    out_dir: Path
    variants: tuple[Variant, ...]
    limits: Limits = field(default_factory=Limits)

    def to_json(self) -> dict[str, Any]:
        """Plain values; paths are absolute, as the child works in a folder of its own."""
        return {
            "source": str(self.source.absolute()),
            "out_dir": str(self.out_dir.absolute()),
            "variants": [dict(vars(variant)) for variant in self.variants],
            "limits": dict(vars(self.limits)),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Plan":
        """The inverse of ``to_json``."""
        return cls(
            source=Path(data["source"]),
            out_dir=Path(data["out_dir"]),
            variants=tuple(_variant(item) for item in data["variants"]),
            limits=Limits(**data["limits"]),
        )


@dataclass(frozen=True)
class Rendition:
    """One written file: size in pixels, length in bytes, SHA-256 in hex, encoding time in ms."""

    name: str
    format: str
    width: int
    height: int
    bytes: int
    sha256: str
    encode_ms: float


@dataclass(frozen=True)
class Notice:
    """Something a person should know of a conversion that worked.

    Codes: animation_first_frame, first_page_only, profile_ignored, alpha_flattened, alpha_lost,
    setting_ignored, original_metadata_kept.
    """

    code: str
    message: str


@dataclass(frozen=True)
class Outcome:
    """A conversion that worked. ``timings`` are in ms: decode, resize, encode, total, and cpu."""

    header: Header
    renditions: tuple[Rendition, ...]
    warnings: tuple[Notice, ...]
    timings: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Outcome":
        """The inverse of ``to_json``."""
        return cls(
            header=Header(**data["header"]),
            renditions=tuple(Rendition(**item) for item in data["renditions"]),
            warnings=tuple(Notice(**item) for item in data["warnings"]),
            timings=dict(data["timings"]),
        )


def _variant(data: dict[str, Any]) -> Variant:
    box = data["box"]
    return Variant(**{**data, "box": tuple(box) if box else None, "asked": tuple(data["asked"])})
