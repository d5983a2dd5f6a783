"""One output format of a token: how it is encoded, and in which sizes."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, get_args

from django.conf import settings
from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from encoders import plan
from encoders.look import Look
from jobs.spec_look import LookSpec, look, merged
from jobs.strict import Choice, Rule, Strict, Switch, Whole, judged

DEFAULT_QUALITY = plan.Settings.quality
DEFAULT_SPEED = plan.Settings.speed
ANY_SIDE = 2**31 - 1
LIST, OBJECT = "[list]", "[object]"
"""The two ways to write a size, as they appear in the place of an error."""
_NAME = re.compile(r"[A-Za-z0-9-]{1,32}")
_SIZE_WORDS = "write a size as [width, height], as [side], or as an object"

Box = tuple[int, int]


def _box(value: object, info: ValidationInfo) -> object:
    """`[w, h]`, or `[s]` for the box s × s."""
    if not isinstance(value, list | tuple) or len(value) not in {1, 2}:
        raise PydanticCustomError("size", "write a size as [width, height] or [side]")
    longest = settings.PIXERVE.max_side if judged(info) else ANY_SIDE
    for side in value:
        if type(side) is not int or not 1 <= side <= longest:
            raise PydanticCustomError(
                "size",
                "a side is a whole number of pixels from 1 to {longest}",
                {"longest": longest},
            )
    return tuple(value)


_BOX_SCHEMA: dict[str, Any] = {
    "type": "array",
    "items": {"type": "integer", "minimum": 1},
    "minItems": 1,
    "maxItems": 2,
    "description": "[width, height], or [side] for a square box",
}
_Box = Annotated[Any, BeforeValidator(_box), WithJsonSchema(_BOX_SCHEMA)]
_Name = Rule(
    'a name of 1 to 32 letters, digits and "-"',
    lambda value: isinstance(value, str) and _NAME.fullmatch(value) is not None,
    {"type": "string", "pattern": f"^{_NAME.pattern}$"},
)


class SettingsSpec(Strict):
    """How a format encodes. Where nothing is said, the encoder chooses."""

    quality: int = Field(DEFAULT_QUALITY, ge=1, le=100)
    """1 to 100."""
    speed: int = Field(DEFAULT_SPEED, ge=0, le=10)
    """0 (smallest file) to 10 (fastest), the same direction for every format."""
    progressive: Annotated[bool | None, Switch()] = None
    """A file that shows the whole picture before all of it has come."""
    subsampling: Annotated[str | None, Choice(*get_args(plan.Subsampling))] = None
    """How much colour is kept: all with 4:4:4, a quarter with 4:2:0."""
    lossless: bool = False
    colors: Annotated[int | None, Whole(plan.COLORS.start, plan.COLORS.stop - 1)] = None
    """Size of a palette."""

    def encoding(self) -> plan.Settings:
        """As the engine takes it: what was not sent is the encoder's choice."""
        return plan.Settings(**{name: getattr(self, name) for name in self.model_fields_set})


class SizeSpec(LookSpec):
    """One size of a format, with a look of its own where it says so; no `box`: the native size."""

    box: _Box = None
    name: Annotated[str | None, _Name] = None
    """Takes the place of the size in the file's name."""


def _kind_of_size(value: object) -> str | None:
    if isinstance(value, dict | SizeSpec):
        return OBJECT
    return LIST if isinstance(value, list | tuple) else None


_Size = Annotated[
    Annotated[_Box, Tag(LIST)] | Annotated[SizeSpec, Tag(OBJECT)],
    Discriminator(_kind_of_size, custom_error_type="size", custom_error_message=_SIZE_WORDS),
]


@dataclass(frozen=True)
class Output:
    """One output of a format, everything said that a format and its size say together."""

    box: Box | None
    name: str | None
    look: Look
    metadata: plan.Metadata


class FormatSpec(LookSpec):
    """One output format: how to encode it and in which sizes; none means the native size."""

    settings: SettingsSpec = SettingsSpec()
    sizes: list[_Size] = Field(default_factory=list)

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """One for each size, in their order."""
        if not self.sizes:
            return (self._output(None, None, self),)
        return tuple(self._of_size(size) for size in self.sizes)

    def _of_size(self, size: Any) -> Output:
        if isinstance(size, SizeSpec):
            return self._output(size.box, size.name, self, size)
        return self._output(size, None, self)

    def _output(self, sent_box: Any, name: str | None, *layers: LookSpec) -> Output:
        sent = merged(*layers)
        box = (sent_box[0], sent_box[-1]) if sent_box else None
        return Output(box, name, look(box, sent), sent.get("metadata", "strip"))
