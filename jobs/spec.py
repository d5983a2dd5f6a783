"""JobSpec: the `job` of an upload token, parsed once, strict and immutable.

Nothing is coerced and nothing unknown is passed over: a wrong field is an `InvalidSpec` that names
it. The limits that an owner can set come from the settings.
"""

import json
import re
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from django.conf import settings
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from delivery import backends
from delivery.addresses import AddressPolicy
from delivery.errors import DeliveryError
from delivery.http import check_headers, check_url
from encoders import registry
from jobs import names
from jobs.errors import InvalidSpec
from jobs.spec_format import LIST, OBJECT, FormatSpec
from jobs.strict import Strict, judged

MAX_PRIORITY = 1000
MAX_SUB_DIR = 200
MAX_KEYS = 8  # of one type
MAX_KEY = 128
_WORDS = {"extra_forbidden": "unknown field", "missing": "required"}
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
# What pydantic puts into the place of an error beside the token's own words.
_NO_FIELDS = frozenset({"[key]", LIST, OBJECT})


def callback_policy() -> AddressPolicy:
    """Which addresses and ports a callback may go to."""
    config = settings.PIXERVE
    return AddressPolicy(config.callback_allow_private, ports=config.callback_ports)


def _format_name(value: object) -> object:
    if isinstance(value, str) and registry.canonical(value) is not None:
        return value
    known = ", ".join(registry.names())
    raise PydanticCustomError("format", "unknown format; known are {known}", {"known": known})


def _storage_type(value: object) -> object:
    if isinstance(value, str) and value in backends.names():
        return value
    known = ", ".join(backends.names())
    raise PydanticCustomError("storage", "unknown storage; known are {known}", {"known": known})


def _storage_key_or_keys(value: object) -> object:
    """A key, or a list of different ones; either form is kept as it was sent."""
    keys = value if isinstance(value, list) else [value]
    good = [key for key in keys if isinstance(key, str) and 1 <= len(key) <= MAX_KEY]
    if not 1 <= len(good) <= MAX_KEYS or len(set(good)) < len(keys):
        raise PydanticCustomError(
            "storage_key",
            "a key of at most {length} characters, or a list of 1 to {most} different keys",
            {"length": MAX_KEY, "most": MAX_KEYS},
        )
    return value


def _url(value: str, info: ValidationInfo) -> str:
    try:
        if judged(info):
            check_url(value, callback_policy())
    except DeliveryError as error:
        raise PydanticCustomError(error.code, "{message}", {"message": error.message}) from None
    return value


def _headers(value: dict[str, str]) -> dict[str, str]:
    try:
        check_headers(value)
    except DeliveryError as error:
        raise PydanticCustomError(error.code, "{message}", {"message": error.message}) from None
    return value


def _sub_dir(value: str) -> str:
    segments = value.split("/")
    if len(value) > MAX_SUB_DIR or not all(_SEGMENT.fullmatch(part) for part in segments):
        raise PydanticCustomError(
            "sub_dir",
            "a relative path of at most {length} characters; each part starts with a letter, digit"
            ' or "_" and holds letters, digits, ".", "_" and "-" only',
            {"length": MAX_SUB_DIR},
        )
    return value


def _secret(value: Any, handler: ValidatorFunctionWrapHandler) -> dict[str, str]:
    """Type errors of header values must not repeat the value; say only what is expected."""
    try:
        return handler(value)  # type: ignore[no-any-return]
    except ValidationError:
        raise PydanticCustomError("headers", "an object of header names to strings") from None


class JobSpec(Strict):
    """What the token asked for. `as_sent()` is the form that is stored and shown."""

    completion_callback: Annotated[str, AfterValidator(_url)] | None = None
    callback_headers: Annotated[
        dict[str, str], WrapValidator(_secret), AfterValidator(_headers)
    ] = Field(default_factory=dict, repr=False)
    callback_events: Annotated[
        list[Literal["job.completed", "job.failed", "job.cancelled"]],
        Field(min_length=1, max_length=3),
    ] = ["job.completed", "job.failed"]
    priority: int = Field(0, ge=0, le=MAX_PRIORITY)
    keep_original: bool = False
    formats: dict[Annotated[str, BeforeValidator(_format_name)], FormatSpec] = Field(
        default_factory=dict
    )
    storage_keys: dict[
        Annotated[str, BeforeValidator(_storage_type)],
        Annotated[Any, BeforeValidator(_storage_key_or_keys)],
    ] = Field(default_factory=dict)
    direct_host: bool = False
    private: bool = False
    sub_dir: Annotated[str, AfterValidator(_sub_dir)] | None = None

    @property
    def destinations(self) -> tuple[tuple[str, str], ...]:
        """Every (type, key) of a storage."""
        return destinations_of(self.storage_keys)

    @model_validator(mode="after")
    def _makes_sense(self, info: ValidationInfo) -> Self:
        if not self.direct_host and not self.storage_keys:
            raise _at("directHost", "no destination: set directHost, or name a key in storageKeys")
        if not self.formats and not self.keep_original:
            raise _at("formats", "nothing to make: name a format, or set keepOriginal")
        if judged(info):
            self._check_count()
        self._check_twins()
        return self

    def _check_count(self) -> None:
        most = settings.PIXERVE.max_variants
        count = sum(len(each.sizes) or 1 for each in self.formats.values()) + self.keep_original
        if count > most:
            raise _at("formats", f"{count} outputs; at most {most} are made of one picture")

    def _check_twins(self) -> None:
        """Two outputs of one name: `jpg` and `jpeg` are one format, and share an extension."""
        seen: set[str] = set()
        for name, each in self.formats.items():
            extension = registry.extension(registry.canonical(name) or name)
            for index, output in enumerate(each.outputs):
                twin = names.output_name("", "", extension, output.box, output.name)
                if twin in seen:
                    raise _at(
                        f"formats.{name}.sizes[{index}]",
                        "two outputs would share one file name; give one a `name`",
                    )
                seen.add(twin)

    def as_sent(self) -> dict[str, Any]:
        """The instructions in the token's own words, without the secret `callbackHeaders`."""
        return self.model_dump(
            mode="json", by_alias=True, exclude_unset=True, exclude={"callback_headers"}
        )


def destinations_of(storage_keys: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Every (type, key) of `storageKeys`, whose values are a key or a list of keys."""
    return tuple(
        (kind, key)
        for kind, keys in storage_keys.items()
        for key in (keys if isinstance(keys, list | tuple) else [keys])
    )


def _at(field: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("at", "{message}", {"field": field, "message": message})


def _path(location: tuple[int | str, ...]) -> str:
    """`("formats", "jpg", "sizes", 0)` → `job.formats.jpg.sizes[0]`."""
    path = "job"
    for part in location:
        if part not in _NO_FIELDS:
            path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path[:200]


def parse(job: object) -> JobSpec:
    """The spec of a token's `job`. Raises InvalidSpec naming each wrong field."""
    try:
        return JobSpec.model_validate(job)
    except ValidationError as error:
        found = [
            {
                "field": _path((*each["loc"], *filter(None, [each.get("ctx", {}).get("field")]))),
                "message": _WORDS.get(each["type"], each["msg"]),
            }
            for each in error.errors(include_url=False, include_input=False)[:20]
        ]
        first = found[0]
        raise InvalidSpec(
            "invalid_spec",
            f"{first['field']}: {first['message']}",
            field=first["field"],
            errors=found,
        ) from None


def load(stored: dict[str, Any]) -> JobSpec:
    """The spec of an accepted job, from what `as_sent` gave."""
    return _loaded(json.dumps(stored))


@lru_cache(maxsize=64)
def _loaded(stored: str) -> JobSpec:
    """Clients send the same few instructions again and again."""
    return JobSpec.model_validate(json.loads(stored), context={"accepted": True})
