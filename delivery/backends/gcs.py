"""``gcs``: Google Cloud Storage, by a service account's JSON key.

Here are the options and what the store's answers mean; ``gcs_store`` talks.
"""

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from delivery.addresses import AddressPolicy
from delivery.backends.base import HttpUrl, RemoteOptions, Segments, line, read_options
from delivery.backends.errors import (
    AccessDenied,
    AuthFailed,
    BadOptions,
    NoBucket,
    StoreFull,
    StoreUnavailable,
)
from delivery.backends.wire import wire_of
from delivery.destination import Destination
from delivery.errors import DeliveryError

if TYPE_CHECKING:
    from delivery.backends.gcs_store import GcsStore

DEFAULT_ENDPOINT = "https://storage.googleapis.com"
DEFAULT_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105
_NEEDED = ("client_email", "private_key")


def _as_text(value: object) -> object:
    """The key file may come as the object that it is."""
    return json.dumps(value) if isinstance(value, dict) else value


def account(key: SecretStr) -> dict[str, Any]:
    """The key file's fields, ``token_uri`` among them. Raises ValueError, without a value."""
    try:
        found = json.loads(key.get_secret_value())
    except ValueError:
        raise ValueError("not JSON; paste the whole key file of the service account") from None
    if not isinstance(found, dict) or found.get("type") != "service_account":
        raise ValueError("not the key file of a service account")
    if missing := [name for name in _NEEDED if not isinstance(found.get(name), str)]:
        raise ValueError(f"the key file lacks {' and '.join(missing)}")
    return {"token_uri": DEFAULT_TOKEN_URI} | found


class GcsOptions(RemoteOptions):
    """How to reach a bucket."""

    bucket: Annotated[str, line(r"^[a-z0-9][a-z0-9._-]*$")] = Field(
        title="Bucket", description="It must exist; Pixerve makes none."
    )
    service_account: Annotated[SecretStr, BeforeValidator(_as_text)] = Field(
        min_length=1,
        max_length=16384,
        title="Service account key",
        description="The JSON key file. The account needs the role Storage Object User.",
    )
    prefix: Segments | None = Field(
        None, title="Prefix", description="A folder in the bucket; the key is added to it."
    )
    endpoint: HttpUrl | None = Field(
        None, title="Endpoint", description="The URL of the service; empty for Google's own."
    )
    acl: Literal["publicRead", "private", "projectPrivate", "bucketOwnerFullControl"] | None = (
        Field(
            None,
            title="ACL",
            description="Of each object; buckets with uniform access refuse it: leave it empty.",
        )
    )
    cache_control: Annotated[str, line(r"^[\x20-\x7e]+$")] | None = Field(
        None, title="Cache-Control", description="Of each object, in place of the usual value."
    )

    @field_validator("service_account")
    @classmethod
    def _is_a_key_file(cls, value: SecretStr) -> SecretStr:
        account(value)
        return value

    @property
    def base(self) -> str:
        return (self.endpoint or DEFAULT_ENDPOINT).rstrip("/")

    @property
    def host(self) -> str:
        """For messages."""
        return urlsplit(self.base).netloc


class Gcs:
    """Google's buckets."""

    type = "gcs"
    options_model = GcsOptions

    def open(self, destination: Destination, policy: AddressPolicy) -> "GcsStore":
        """Google's libraries are loaded with the first store that is opened."""
        options = read_options(GcsOptions, destination)
        from delivery.backends.gcs_store import GcsStore  # noqa: PLC0415

        return GcsStore(options, wire_of(destination, policy, options.timeout_s))


# --- answers: https://cloud.google.com/storage/docs/json_api/v1/status-codes

_BAD, _UNAUTHORIZED, _FORBIDDEN, _MISSING, _TOO_MANY, _SERVER_ERROR = 400, 401, 403, 404, 429, 500


def meaning(status: int, text: str, options: GcsOptions) -> DeliveryError:
    """What a status of the store means; ``text`` is read and not repeated."""
    said = f"{options.host} says {status}"
    if status >= _SERVER_ERROR or status in (_TOO_MANY, 408):
        return StoreUnavailable(said)
    if status == _UNAUTHORIZED:
        return AuthFailed(f"{said}; check service_account: is its key still active?")
    if status == _FORBIDDEN:
        if "quota" in text.lower():
            return StoreFull(f"{said}; over quota")
        return AccessDenied(
            f"{said}; give the service account the role Storage Object User on {options.bucket!r}"
        )
    if status == _MISSING:
        return NoBucket(f"{said}; create the bucket {options.bucket!r}, or correct its name")
    hint = "; a bucket with uniform access takes no acl" if options.acl else ""
    return BadOptions(f"{said}; check bucket and endpoint{hint}")
