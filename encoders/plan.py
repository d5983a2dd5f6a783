"""What a conversion is asked for and what it answers; all of it travels as JSON."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from encoders.header import Header
from encoders.limits import Limits
from encoders.look import Look, Watermark

ORIGINAL = "original"
"""The format of a variant that is a byte copy of the source."""

QUALITIES = range(1, 101)
SPEEDS = range(11)
COLORS = range(2, 257)
Subsampling = Literal["4:2:0", "4:2:2", "4:4:4"]
Metadata = Literal["strip", "copyright", "keep"]
_METADATA = frozenset(get_args(Metadata))


@dataclass(frozen=True)
class Settings:
    """How a format encodes. ``quality`` is 1 to 100, ``speed`` 0 (smallest file) to 10 (fastest).

    None leaves the choice to the encoder. ``colors`` is the size of a palette, 2 to 256. A format
    may have no use for some of them (``Encoder.settings``). Raises ValueError for a value out of
    range.
    """

    quality: int = 80
    speed: int = 6
    progressive: bool | None = None
    subsampling: Subsampling | None = None
    lossless: bool = False
    colors: int | None = None

    def __post_init__(self) -> None:
        if self.quality not in QUALITIES or self.speed not in SPEEDS:
            raise ValueError("a quality or speed is out of range")
        if self.subsampling is not None and self.subsampling not in get_args(Subsampling):
            raise ValueError("an unknown chroma subsampling")
        if self.colors is not None and self.colors not in COLORS:
            raise ValueError("a palette has 2 to 256 colours")


@dataclass(frozen=True)
class Variant:
    """One requested output.

    ``name`` is the file name to write in the plan's folder; ``format`` a canonical encoder name or
    ``original``; ``look`` what is done to the pixels, ``settings`` how they are encoded. ``asked``
    names the settings that the client gave itself: if the format cannot use one, the outcome says
    so. Raises ValueError for a name that is none.
    """

    name: str
    format: str
    look: Look = field(default_factory=Look)
    settings: Settings = Settings()
    metadata: Metadata = "strip"
    asked: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.name in {"", ".", ".."} or "/" in self.name or "\0" in self.name:
            raise ValueError("a variant's name must be a plain file name")
        if self.metadata not in _METADATA:
            raise ValueError("metadata is stripped, kept, or reduced to the copyright")


@dataclass(frozen=True)
class Plan:
    """One job: every variant is made from one decode of ``source``, into ``out_dir``.

    ``fonts_dir`` holds the owner's fonts for watermarks, beside those of this package.
    """

    source: Path
    out_dir: Path
    variants: tuple[Variant, ...]
    limits: Limits = field(default_factory=Limits)
    fonts_dir: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values; paths are absolute, as the child works in a folder of its own."""
        return {
            "source": str(self.source.absolute()),
            "out_dir": str(self.out_dir.absolute()),
            "variants": [_plain(variant) for variant in self.variants],
            "limits": dict(vars(self.limits)),
            "fonts_dir": str(self.fonts_dir.absolute()) if self.fonts_dir else None,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Plan":
        """The inverse of ``to_json``."""
        return cls(
            source=Path(data["source"]),
            out_dir=Path(data["out_dir"]),
            variants=tuple(_variant(item) for item in data["variants"]),
            limits=Limits(**data["limits"]),
            fonts_dir=Path(data["fonts_dir"]) if data.get("fonts_dir") else None,
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
    setting_ignored, original_metadata_kept, nothing_to_trim, glyph_missing, watermark_shrunk,
    text_not_shaped, profile_not_kept, hdr_not_mapped, metadata_unreadable,
    damage_suspected.
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


def _plain(variant: Variant) -> dict[str, Any]:
    """As `dataclasses.asdict`, without its deep copies, which cost more than the JSON itself."""
    mark = variant.look.watermark
    look = {**vars(variant.look), "watermark": mark and vars(mark)}
    return {**vars(variant), "look": look, "settings": vars(variant.settings)}


def _variant(data: dict[str, Any]) -> Variant:
    look = dict(data["look"])
    for name in ("box", "background"):
        look[name] = tuple(look[name]) if look[name] else None
    if mark := look["watermark"]:
        look["watermark"] = Watermark(**{**mark, "color": tuple(mark["color"])})
    return Variant(
        **{
            **data,
            "look": Look(**look),
            "settings": Settings(**data["settings"]),
            "asked": tuple(data["asked"]),
        }
    )
