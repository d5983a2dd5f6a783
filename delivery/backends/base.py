"""The shape of a backend and of its stores, and what all of them share."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol, Self, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError

from delivery.addresses import AddressPolicy
from delivery.backends.errors import BadOptions, ChecksumMismatch
from delivery.destination import Destination
from delivery.hosting import check_path

MAX_EXPIRES_S = 7 * 24 * 3600
_BLOCK = 1 << 20

O = TypeVar("O", bound="Options")  # noqa: E741

_SEGMENT = r"[^.\\/\x00-\x1f\x7f][^\\/\x00-\x1f\x7f]*"


def line(
    pattern: str = r"^[^\x00-\x1f\x7f]*$", *, longest: int = 255, shortest: int = 1
) -> StringConstraints:
    """One line of text, without control characters."""
    return StringConstraints(pattern=pattern, min_length=shortest, max_length=longest)


HttpUrl = Annotated[str, line(r"^https?://[^\s/?#@\\]+(/[^\s?#\\]*)?$", longest=512)]
Segments = Annotated[str, line(f"^{_SEGMENT}(/{_SEGMENT})*$", longest=512)]


class Options(BaseModel):
    """The fields of a type of credential. Those of type SecretStr are the secrets."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    #: Other name of a field -> its name; the names of the original body among them.
    aliases: ClassVar[Mapping[str, str]] = {}


class RemoteOptions(Options):
    """What all stores across a network know."""

    public_url: HttpUrl | None = Field(
        None,
        title="Public URL",
        description="Where the files can be fetched, such as a CDN; the key is added to it.",
    )
    timeout_s: float = Field(
        30,
        ge=1,
        le=300,
        strict=False,
        title="Timeout, seconds",
        description="The longest wait for each answer of the store.",
    )


@dataclass(frozen=True)
class Stored:
    """What the store says it has: bytes, "algorithm:hex" of its checksum, a lasting URL if any."""

    bytes: int
    checksum: str
    url: str | None


class Store(Protocol):
    """An opened destination, for one thread; close it, or use it in ``with``.

    Keys are relative paths of plain segments. Every call raises DeliveryError. ``put_cleans`` says
    that ``put`` itself removes what a killed one of its key left.
    """

    put_cleans: ClassVar[bool]

    def put(
        self, key: str, source: Path, *, media_type: str, cache_control: str | None, sha256: str
    ) -> Stored:
        """Store the bytes of ``source``, whose SHA-256 is given in hex, replacing what was there.

        It returns once the store has confirmed exactly these bytes. After an error nothing
        unfinished is left, unless the store could not be reached for that either.
        """

    def clean(self, key: str, size: int) -> None:
        """Remove what a ``put`` of this key that was killed, of ``size`` bytes, left unfinished.

        Called before a key is put again, or given up. A ``put`` still under way elsewhere may fail.
        """

    def read(self, key: str, limit: int) -> bytes:
        """At most the first ``limit`` bytes of an object. Raises NoObject."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""

    def exists(self, key: str) -> bool:
        """Whether there is an object under the key."""

    def url(self, key: str, *, expires_s: int | None) -> str | None:
        """Where to fetch the object: signed for so many seconds, or without end when None.

        None where the store has no such URLs.
        """

    def probe(self) -> None:
        """Write, read back and delete a small object; the error says what failed."""

    def close(self) -> None:
        """Hang up."""

    def __enter__(self) -> Self:
        """The store itself."""

    def __exit__(self, *_: object) -> None:
        """Hang up."""


class Backend(Protocol):
    """A kind of storage."""

    options_model: type[Options]
    type: str

    def open(self, destination: Destination, policy: AddressPolicy) -> Store:
        """A store of this destination. No bytes are sent before the store is used.

        ``policy`` judges the addresses of a guarded destination. Raises BadOptions.
        """


class OpenStore:
    """``with`` for a store that has ``close``; for stores where a killed ``put`` leaves nothing."""

    put_cleans: ClassVar[bool] = False

    def clean(self, key: str, size: int) -> None:
        """Nothing is left of a ``put`` that was killed."""

    def close(self) -> None:
        """Nothing to hang up."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def secret_fields(model: type[BaseModel]) -> frozenset[str]:
    """The names of the fields that must be sealed and never shown."""
    return frozenset(
        name for name, field in model.model_fields.items() if _is_secret(field.annotation)
    )


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or SecretStr in getattr(annotation, "__args__", ())


def canonical(model: type[Options], given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields by their own names. Raises BadOptions for a field that is given by two names."""
    fields: dict[str, Any] = {}
    for name, value in given.items():
        own = model.aliases.get(name, name)
        if own in fields:
            raise BadOptions(f"{own} is given twice, as {name} too")
        fields[own] = value
    return fields


def split(options: Options) -> tuple[dict[str, Any], dict[str, str]]:
    """The plain fields as JSON values, and the secret ones; together they make the options anew."""
    secrets = secret_fields(type(options))
    plain = options.model_dump(mode="json", exclude=set(secrets), exclude_none=True)
    hidden = {name: getattr(options, name) for name in secrets}
    return plain, {name: value.get_secret_value() for name, value in hidden.items() if value}


def read_options(model: type[O], destination: Destination) -> O:
    """Raises BadOptions that names the wrong fields, never their values."""
    given = canonical(model, {**destination.options, **destination.secret})
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise BadOptions(in_words(error)) from None


def in_words(error: ValidationError) -> str:
    """Each wrong field with what is wrong, without a value."""
    return "; ".join(
        ".".join(map(str, each["loc"])) + ": " + each["msg"] if each["loc"] else each["msg"]
        for each in error.errors(include_input=False, include_context=False, include_url=False)
    )


def object_name(prefix: str | None, key: str) -> str:
    """The name of a key in the store. Raises PathRefused for what is no plain relative path."""
    name = f"{prefix}/{key}" if prefix else key
    check_path(name)
    return name


def check_expiry(expires_s: int) -> None:
    """Raises BadOptions: neither S3 nor Google signs for longer than a week."""
    if not 1 <= expires_s <= MAX_EXPIRES_S:
        raise BadOptions(f"a signed URL lasts 1 to {MAX_EXPIRES_S} seconds")


def public(base: str | None, name: str) -> str | None:
    """The lasting URL of an object below ``base``."""
    return f"{base.rstrip('/')}/{quote(name)}" if base else None


@dataclass(frozen=True)
class Digests:
    """Size in bytes and checksums of one file, in hex; ``parts`` are the MD5s of its parts."""

    size: int
    sha256: str
    md5: str
    parts: tuple[bytes, ...]

    def etag(self) -> str:
        """What S3 calls an object that was uploaded in these parts."""
        joined = hashlib.md5(b"".join(self.parts), usedforsecurity=False).hexdigest()
        return f"{joined}-{len(self.parts)}"


def digest(source: Path, part_size: int = 0) -> Digests:
    """One pass over the file; ``part_size`` in bytes, 0 for no parts."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    size, parts = 0, []
    with source.open("rb") as file:
        while block := file.read(part_size or _BLOCK):
            sha256.update(block)
            md5.update(block)
            size += len(block)
            if part_size:
                parts.append(hashlib.md5(block, usedforsecurity=False).digest())
    return Digests(size, sha256.hexdigest(), md5.hexdigest(), tuple(parts))


def check_source(found: str, sha256: str) -> None:
    """Raises ChecksumMismatch when the file at hand is not the one that was announced."""
    if found != sha256:
        raise ChecksumMismatch("the file in staging is not the one that was rendered")
