"""The `data` of a credential, checked by type and by name, and split into seen and secret fields.

Whatever is wrong is an InvalidCredential that names `data.<field>`. A message never repeats a
secret: of secret fields only the kind of mistake is told, unless the backend's own words are free
of the value.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from credentials import fields, local_roots
from credentials.errors import InvalidCredential
from credentials.fields import Field
from delivery import backends

MAX_BYTES = 64 * 1024
MAX_FIELDS = 64
MAX_ERRORS = 20
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_WORDS = {
    "extra_forbidden": "unknown field",
    "missing": "required",
    "string_type": "must be text",
    "string_too_short": "too short",
    "string_too_long": "too long",
}


@dataclass(frozen=True)
class Parsed:
    """Good options: what may be seen, and what must not."""

    options: dict[str, Any]
    secret: dict[str, str] = field(repr=False)


def named(location: Iterable[int | str]) -> str:
    """`("data", "sizes", 0)` → `data.sizes[0]`. What is no name is not repeated: a secret may have
    been put in the place of one."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _NAME.fullmatch(part):
            path += f".{part}"
        else:
            break
    return path.removeprefix(".")[:200]


def wrong(name: str, message: str) -> InvalidCredential:
    """The refusal of one field of `data`."""
    return InvalidCredential([{"field": name, "message": message}])


def check_type(kind: str) -> None:
    """Raises InvalidCredential unless there is such a backend."""
    if kind not in backends.names():
        raise wrong("type", f"unknown; known are {', '.join(backends.names())}")


def by_name(kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """`data` by the fields' own names; the original system's names are understood too.

    Raises InvalidCredential where a field is given twice, or for what no storage could hold.
    """
    _check_size(data)
    names = backends.load(kind).options_model.aliases
    found: dict[str, Any] = {}
    for given, value in data.items():
        name = names.get(given, given)
        if name in found:
            raise wrong(named(("data", given)), f"given twice: it is the same as {name}")
        found[name] = value
    return found


def parse(kind: str, data: Mapping[str, Any]) -> Parsed:
    """`data` (by name) as options and secret; empty secrets count as missing.

    Raises InvalidCredential naming each field that is unknown, missing or wrong.
    """
    known = fields.of(kind)
    secrets = {name for name, each in known.items() if each.secret}
    given = {
        name: value
        for name, value in data.items()
        if value is not None and not (name in secrets and value == "")
    }
    model = _validated(kind, given, known)
    options = model.model_dump(mode="json", exclude=secrets, exclude_unset=True, exclude_none=True)
    local_roots.check(kind, options)
    return Parsed(options, dict(_revealed(model, secrets & given.keys())))


def _revealed(model: BaseModel, names: set[str]) -> Iterator[tuple[str, str]]:
    for name in sorted(names):
        value = getattr(model, name)
        if isinstance(value, SecretStr) and value.get_secret_value():
            yield name, value.get_secret_value()


def _validated(kind: str, data: Mapping[str, Any], known: Mapping[str, Field]) -> BaseModel:
    model: type[BaseModel] = backends.load(kind).options_model
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        errors = [_error(each, data, known) for each in found[:MAX_ERRORS]]
    except Exception as error:  # its words and its cause may hold a secret
        raise RuntimeError(f"the options of {kind} raised {type(error).__name__}") from None
    raise InvalidCredential(errors)


def _error(found: Any, data: Mapping[str, Any], known: Mapping[str, Field]) -> dict[str, str]:
    message = _WORDS.get(found["type"], found["msg"].removeprefix("Value error, "))
    if _holds_secret(message, data, known):
        message = "not acceptable"
    return {"field": named(("data", *found["loc"])), "message": message[:500]}


def _holds_secret(message: str, data: Mapping[str, Any], known: Mapping[str, Field]) -> bool:
    secrets = (value for name, value in data.items() if name in known and known[name].secret)
    return any(piece in message for value in secrets for piece in _pieces(value))


def _pieces(value: object) -> Iterator[str]:
    """Texts by which a secret would be recognised, in whatever it was wrapped."""
    if isinstance(value, str):
        yield from (line.strip() for line in value.splitlines() if line.strip())
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield str(name)
            yield from _pieces(each)
    elif isinstance(value, list):
        for each in value:
            yield from _pieces(each)
    elif value is not None:
        yield str(value)


def _check_size(data: Mapping[str, Any]) -> None:
    if len(data) > MAX_FIELDS:
        raise wrong("data", f"more than {MAX_FIELDS} fields")
    for name, value in data.items():
        text = json.dumps([name, value], ensure_ascii=False)
        if "\\u0000" in text or any("\ud800" <= char <= "\udfff" for char in text):
            raise wrong("data", "holds a character that is no text")
    if len(json.dumps(data)) > MAX_BYTES:
        raise wrong("data", f"more than {MAX_BYTES // 1024} KiB")
