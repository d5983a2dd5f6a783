"""``sftp``: a folder of an SSH server whose host key is pinned. ``sftp_store`` talks."""

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from delivery.addresses import AddressPolicy
from delivery.backends.base import RemoteOptions, line, read_options
from delivery.backends.wire import wire_of
from delivery.destination import Destination

if TYPE_CHECKING:
    from delivery.backends.sftp_store import SftpStore

_FINGERPRINT = "SHA256:"
_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
)


class SftpOptions(RemoteOptions):
    """How to reach a folder of an SSH server."""

    host: Annotated[str, line(r"^[A-Za-z0-9.:_-]+$", longest=253)] = Field(
        title="Host", description="Name or address."
    )
    port: int = Field(22, ge=1, le=65535, title="Port", description="Of the SSH server.")
    user: Annotated[str, line(r"^[^\x00-\x1f\x7f:]+$", longest=128)] = Field(
        title="User", description="Who may write into the folder."
    )
    password: SecretStr | None = Field(
        None, max_length=1024, title="Password", description="This or a private key."
    )
    private_key: SecretStr | None = Field(
        None,
        max_length=16384,
        title="Private key",
        description="In OpenSSH's or PEM form: Ed25519, ECDSA or RSA.",
    )
    passphrase: SecretStr | None = Field(
        None, max_length=1024, title="Passphrase", description="Of the private key, if it has one."
    )
    host_key: Annotated[str, line(longest=2048)] = Field(
        title="Host key",
        description="The server's public key, “ssh-ed25519 AAAA…” (ssh-keyscan prints it), or its "
        "fingerprint, “SHA256:…”. A server with another key is not talked to.",
    )
    root: Annotated[str, line(longest=1024)] = Field(
        ".",
        title="Folder",
        description="Where the files go; it must exist. A relative one is below the user's home.",
    )
    read_back: bool = Field(
        True,
        title="Read back",
        description="SFTP knows no checksums: read each file back and compare it. Without it only "
        "the size is compared.",
    )

    @field_validator("host_key")
    @classmethod
    def _is_a_host_key(cls, value: str) -> str:
        fingerprint_of(value)
        return value

    @model_validator(mode="after")
    def _has_a_secret(self) -> Self:
        if self.password is None and self.private_key is None:
            raise ValueError("password or private_key is needed")
        return self


def key_type(host_key: str) -> str | None:
    """The type that a pinned line names; a fingerprint names none."""
    return None if host_key.startswith(_FINGERPRINT) else host_key.split(maxsplit=1)[0]


def fingerprint_of(host_key: str) -> str:
    """``SHA256:…`` of a pinned line or fingerprint, as ssh-keygen prints it. Raises ValueError."""
    if host_key.startswith(_FINGERPRINT):
        given = host_key.removeprefix(_FINGERPRINT).rstrip("=")
        if len(_decoded(given + "=")) == hashlib.sha256().digest_size:
            return _FINGERPRINT + given
        raise ValueError("a fingerprint is “SHA256:” and 43 characters")
    words = host_key.split()
    if len(words) < 2 or words[0] not in _TYPES:  # noqa: PLR2004
        raise ValueError(f"neither a fingerprint nor a line that starts with {', '.join(_TYPES)}")
    blob = _decoded(words[1])
    if blob[4 : 4 + len(words[0])] != words[0].encode():
        raise ValueError("the key does not belong to its type; was it cut off?")
    return fingerprint(blob)


def fingerprint(blob: bytes) -> str:
    """``SHA256:…`` of a public key in SSH's own form."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode()
    return _FINGERPRINT + digest.rstrip("=")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("the key is not base64; was it cut off?") from None


class Sftp:
    """Folders of SSH servers."""

    type = "sftp"
    options_model = SftpOptions

    def open(self, destination: Destination, policy: AddressPolicy) -> "SftpStore":
        """Paramiko is loaded with the first store that is opened; it connects at first use."""
        options = read_options(SftpOptions, destination)
        from delivery.backends.sftp_store import SftpStore  # noqa: PLC0415

        wire = wire_of(destination, policy, options.timeout_s)
        return SftpStore(options, wire, destination.key)
