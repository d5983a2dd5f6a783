"""What every part of a JobSpec is made of: strict values, refused in a person's words."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationInfo
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError, core_schema


class Strict(BaseModel):
    """An object of a token: nothing is coerced, nothing unknown is passed over."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


def judged(info: ValidationInfo) -> bool:
    """False for an accepted job that is read back: the limits of today do not judge it again."""
    return not info.context


def refusal(kind: str, message: str) -> PydanticCustomError:
    """A refusal of the value at hand; `kind` is for those who read the source."""
    return PydanticCustomError(kind, "{message}", {"message": message})


class Rule:
    """What a value must be, as an annotation: `Annotated[int, Whole(1, 9)]`.

    The value is kept as it was sent. Pydantic's own literals take `false` for 0 and its numbers
    make 2.0 of 2; a Rule does not. It refuses `null` too, unless it stands in a union with it:
    `Annotated[int | None, Whole(1, 9)] = None` is a whole number that may be absent. `schema`
    says the same as `good`, in JSON Schema.
    """

    def __init__(self, words: str, good: Callable[[Any], bool], schema: dict[str, Any]) -> None:
        self._words = words
        self._good = good
        self._schema = schema

    def __get_pydantic_core_schema__(
        self, _source: object, _handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, _core: object, _handler: object) -> dict[str, Any]:
        return dict(self._schema)

    def _check(self, value: object) -> object:
        if not self._good(value):
            raise refusal("value", f"write {self._words}")
        return value


class Whole(Rule):
    """A whole number from `low` to `high`, the ends included."""

    def __init__(self, low: int, high: int) -> None:
        super().__init__(
            f"a whole number from {low} to {high}",
            lambda value: type(value) is int and low <= value <= high,
            {"type": "integer", "minimum": low, "maximum": high},
        )


class Number(Rule):
    """A number from `low` to `high`, the ends included; NaN is in no range."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__(
            f"a number from {low:g} to {high:g}",
            lambda value: type(value) in {int, float} and low <= value <= high,
            {"type": "number", "minimum": low, "maximum": high},
        )


class Switch(Rule):
    """True or false, and no number that is like one."""

    def __init__(self) -> None:
        words = "true or false"
        super().__init__(words, lambda value: isinstance(value, bool), {"type": "boolean"})


class Choice(Rule):
    """One of a few words or numbers."""

    def __init__(self, *offered: str | int) -> None:
        super().__init__(
            f"one of {', '.join(map(str, offered))}",
            lambda value: type(value) in {str, int} and value in offered,
            {"enum": list(offered)},
        )
