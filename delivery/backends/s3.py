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

_DENIED = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidObjectState"}
_UNKNOWN = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "ExpiredToken",
    "InvalidSecurity",
    "NotSignedUp",
}
_OTHER_BYTES = {
    "BadDigest",
    "InvalidDigest",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
    "IncompleteBody",
}
_REGION = {
    "PermanentRedirect",
    "TemporaryRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "301",
    "307",
}
_BUSY = {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "OperationAborted"}
_FULL = {"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"}
_SERVER_ERROR, _TOO_MANY, _NO_ROOM = 500, 429, 507


def meaning(
    code: str, status: int, retry_after_s: float | None, options: S3Options
) -> DeliveryError:
    """What an error code of the store means; HEAD gives the status as the code."""
    said = f"{options.host} says {code[:60]!r}"
    if code in _FULL or status == _NO_ROOM:
        return StoreFull(f"{said}; make room or raise the quota")
    if code in _BUSY or status >= _SERVER_ERROR or status == _TOO_MANY:
        if code != "NotImplemented":
            return StoreUnavailable(f"{said} ({status})", retry_after_s)
    return _by_code(code, status, said, options) or BadOptions(f"{said} ({status}); {_hint(options)}")


def _by_code(code: str, status: int, said: str, options: S3Options) -> DeliveryError | None:
    if code == "RequestTimeTooSkewed":
        return ClockSkew(f"{said}; set the clock of this machine (NTP), or the store's")
    if code in _UNKNOWN or status == 401:  # noqa: PLR2004
        return AuthFailed(f"{said}; check access_key_id, secret_access_key and session_token")
    if code in _OTHER_BYTES:
        return ChecksumMismatch(f"{said}; the bytes were changed on the way")
    if code in _REGION:
        return BadOptions(f"{said}; the bucket is in another region: set region (and endpoint)")
    if code == "NoSuchBucket":
        return NoBucket(f"{said}; create the bucket {options.bucket!r}, or correct its name")
    if code in _DENIED or status == 403:  # noqa: PLR2004
        return AccessDenied(
            f"{said}; let this key do PutObject, GetObject, DeleteObject and AbortMultipartUpload in "
            f"the bucket {options.bucket!r}{_acl_hint(options)}"
        )
    if status == 404:  # noqa: PLR2004
        return NoObject()
    return None


def _acl_hint(options: S3Options) -> str:
    return f", PutObjectAcl too for the acl {options.acl}" if options.acl else ""


def _hint(options: S3Options) -> str:
    """The options that a store may not know, of those that are in use."""
    doubtful = [name for name in ("acl", "storage_class", "sse") if getattr(options, name)]
    if options.sends_sha256:
        doubtful.append("checksum (etag needs no checksum headers)")
    return "the store may not know: " + ", ".join([*doubtful, f"addressing_style {options.style}"])
