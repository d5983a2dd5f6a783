"""What a credential of a type is made of: the fields of its backend's `options_model`.

The model is the only place that knows them; API, form and documentation ask here.
"""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import MaxLen
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from delivery import backends


@dataclass(frozen=True)
class Field:
    """One field. `kind` is "text", "whole", "number", "switch" or "choice"; `longest` is in
    characters, where the model says so."""

    name: str
    title: str
    description: str
    secret: bool
    required: bool
    kind: str
    choices: tuple[str, ...] = ()
    default: Any = None
    longest: int | None = None


@cache
def of(kind: str) -> dict[str, Field]:
    """The fields of a type by name, in the model's order. Raises KeyError for an unknown type."""
    model = backends.load(kind).options_model
    return {name: _field(name, info) for name, info in model.model_fields.items()}


def _field(name: str, info: FieldInfo) -> Field:
    found = tuple(_plain_types(info.annotation))
    choices = tuple(each for each in found if isinstance(each, str))
    return Field(
        name=name,
        title=info.title or name.replace("_", " ").capitalize(),
        description=info.description or "",
        secret=SecretStr in found,
        required=info.is_required(),
        kind=_kind(set(found), choices),
        choices=choices,
        longest=next((each.max_length for each in info.metadata if isinstance(each, MaxLen)), None),
        default=None if info.is_required() else info.get_default(call_default_factory=True),
    )


def _plain_types(annotation: Any) -> Iterator[Any]:
    """Every type that a value may have, and every value of a Literal; None left out."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _plain_types(get_args(annotation)[0])
    elif origin is Literal:
        yield from get_args(annotation)
    elif origin in {Union, types.UnionType}:
        for each in get_args(annotation):
            yield from _plain_types(each)
    elif annotation is not types.NoneType:
        yield annotation


def _kind(found: set[Any], choices: tuple[str, ...]) -> str:
    if choices:
        return "choice"
    if found == {bool}:
        return "switch"
    if found == {int}:
        return "whole"
    return "number" if float in found else "text"
