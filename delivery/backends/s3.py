"""``s3``: AWS, and whatever speaks its protocol: R2, B2, MinIO, Ceph, Spaces.

Here are the options and what the store's answers mean; ``s3_store`` talks.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from delivery.addresses import AddressPolicy
from delivery.backends.base import HttpUrl, RemoteOptions, Segments, line, read_options
from delivery.backends.errors import (
    AccessDenied,
    AuthFailed,
    BadOptions,
    ChecksumMismatch,
    ClockSkew,
    NoBucket,
    NoObject,
    StoreFull,
    StoreUnavailable,
)
from delivery.backends.wire import wire_of
from delivery.destination import Destination
from delivery.errors import DeliveryError

if TYPE_CHECKING:
    from delivery.backends.s3_store import S3Store

Acl = Literal[
    "private",
    "public-read",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
]


class S3Options(RemoteOptions):
    """How to reach a bucket."""

    aliases: ClassVar = {"access_key": "access_key_id", "secret_key": "secret_access_key"}

    bucket: Annotated[str, line(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = Field(
        title="Bucket", description="It must exist; Pixerve makes none."
    )
    access_key_id: Annotated[str, line(r"^[\x21-\x7e]+$")] = Field(
        title="Access key ID", description="In the original documents: access_key."
    )
    secret_access_key: SecretStr = Field(
        min_length=1,
        max_length=512,
        title="Secret access key",
        description="In the original documents: secret_key.",
    )
    session_token: SecretStr | None = Field(
        None,
        max_length=8192,
        title="Session token",
        description="For temporary credentials only; they end, and deliveries with them.",
    )
    endpoint: HttpUrl | None = Field(
        None, title="Endpoint", description="The URL of the service; empty for AWS."
    )
    region: Annotated[str, line(r"^[A-Za-z0-9-]+$", longest=64)] = Field(
        "us-east-1", title="Region", description="Part of each signature; “auto” for R2."
    )
    prefix: Segments | None = Field(
        None, title="Prefix", description="A folder in the bucket; the key is added to it."
    )
    addressing_style: Literal["auto", "path", "virtual"] = Field(
        "auto",
        title="Addressing style",
        description="Bucket in the path or in the host name; auto: in the host name for AWS only.",
    )
    acl: Acl | None = Field(
        None,
        title="ACL",
        description="Of each object. Buckets without ACLs refuse it: leave it empty there.",
    )
    storage_class: Annotated[str, line(r"^[A-Z0-9_-]+$", longest=64)] | None = Field(
        None, title="Storage class", description="Such as STANDARD_IA; empty: the bucket's own."
    )
    cache_control: Annotated[str, line(r"^[\x20-\x7e]+$")] | None = Field(
        None, title="Cache-Control", description="Of each object, in place of the usual value."
    )
    sse: Literal["AES256", "aws:kms"] | None = Field(
        None, title="Encryption", description="Server-side, with the store's key or one of KMS."
    )
    sse_kms_key_id: Annotated[str, line(r"^[\x21-\x7e]+$", longest=2048)] | None = Field(
        None, title="KMS key", description="For aws:kms; empty: the account's default key."
    )
    checksum: Literal["auto", "sha256", "etag"] = Field(
        "auto",
        title="Checksum",
        description="What the store confirms an upload by: its own SHA-256, or the ETag (MD5) for "
        "stores that know no checksum headers; auto: SHA-256 for AWS only.",
    )

    @property
    def is_aws(self) -> bool:
        host = urlsplit(self.endpoint or "").hostname or "amazonaws.com"
        return ("." + host).endswith((".amazonaws.com", ".amazonaws.com.cn"))

    @property
    def host(self) -> str:
        """For messages."""
        return urlsplit(self.endpoint or "").netloc or "AWS"

    @property
    def style(self) -> str:
        if self.addressing_style == "auto":
            return "virtual" if self.is_aws else "path"
        return self.addressing_style

    @property
    def sends_sha256(self) -> bool:
        return self.is_aws if self.checksum == "auto" else self.checksum == "sha256"


class S3:
    """Buckets."""

    type = "s3"
    options_model = S3Options

    def open(self, destination: Destination, policy: AddressPolicy) -> "S3Store":
        """boto3 is loaded with the first store that is opened."""
        options = read_options(S3Options, destination)
        from delivery.backends.s3_store import S3Store  # noqa: PLC0415

        return S3Store(options, wire_of(destination, policy, options.timeout_s))


# --- answers
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html

_SERVER_ERROR, _TOO_MANY = 500, 429
_BUSY = {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "OperationAborted"}

_KEYS = "check access_key_id, secret_access_key and session_token"
_RIGHTS = (
    "let this key do PutObject, GetObject, DeleteObject and AbortMultipartUpload in the bucket "
    "{bucket!r}{acl}"
)
# What a HEAD was refused for is not said.
_FORBIDDEN = (
    "check the key and its secret; if they are right, let it list the bucket, and " + _RIGHTS
)
_REGION = "the bucket is in another region: set region (and endpoint)"

# The first row counts that has the code, or else the status; a HEAD gives the status as the code.
_ROWS: tuple[tuple[str, type[DeliveryError], str], ...] = (
    ("RequestTimeTooSkewed", ClockSkew, "set the clock of this machine (NTP), or the store's"),
    ("InvalidAccessKeyId SignatureDoesNotMatch InvalidSecurity NotSignedUp", AuthFailed, _KEYS),
    ("InvalidToken ExpiredToken 401", AuthFailed, _KEYS),
    ("BadDigest InvalidDigest IncompleteBody", ChecksumMismatch, "bytes changed on the way"),
    (
        "XAmzContentSHA256Mismatch XAmzContentChecksumMismatch",
        ChecksumMismatch,
        "bytes changed on the way",
    ),
    ("PermanentRedirect TemporaryRedirect 301 307", BadOptions, _REGION),
    ("AuthorizationHeaderMalformed IllegalLocationConstraintException", BadOptions, _REGION),
    ("NoSuchBucket", NoBucket, "create the bucket {bucket!r}, or correct its name"),
    ("QuotaExceeded XMinioStorageFull 507", StoreFull, "make room or raise the quota"),
    ("AccessDenied AllAccessDisabled AccountProblem", AccessDenied, _RIGHTS),
    ("403", AccessDenied, _FORBIDDEN),
    ("NoSuchKey 404", NoObject, "nothing is stored there"),
)


def meaning(
    code: str, status: int, retry_after_s: float | None, options: S3Options
) -> DeliveryError:
    """What an error code of the store means; HEAD gives the status as the code."""
    said = f"{options.host} says {code[:60]!r}"
    words = {"bucket": options.bucket, "acl": _acl_hint(options)}
    for sought in (code, str(status)):
        for codes, error, remedy in _ROWS:
            if sought in codes.split():
                return error(f"{said}; {remedy.format(**words)}")  # type: ignore[call-arg]
    if code in _BUSY or status == _TOO_MANY or (status >= _SERVER_ERROR and code != _UNKNOWN):
        return StoreUnavailable(f"{said} ({status})", retry_after_s)
    return BadOptions(f"{said} ({status}); {_hint(options)}")


# A 501, and yet nothing that passes.
_UNKNOWN = "NotImplemented"


def _acl_hint(options: S3Options) -> str:
    return f", PutObjectAcl too for the acl {options.acl}" if options.acl else ""


def _hint(options: S3Options) -> str:
    """The options that a store may not know, of those that are in use."""
    doubtful = [name for name in ("acl", "storage_class", "sse") if getattr(options, name)]
    if options.sends_sha256:
        doubtful.append("checksum (etag needs no checksum headers)")
    return "the store may not know: " + ", ".join([*doubtful, f"addressing_style {options.style}"])
