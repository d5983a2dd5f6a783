"""Webhook signatures, by which a receiver knows that a message is ours, unchanged and fresh.

Two schemes stand side by side in each request:

- Standard Webhooks 1.0 (https://www.standardwebhooks.com): ``webhook-signature`` holds one
  ``v1,{base64}`` for each secret, an HMAC-SHA256 over ``{id}.{timestamp}.{body}`` under the
  secret's decoded bytes.
- PixelFlow's: ``X-Pixerve-Signature: sha256={hex}``, an HMAC-SHA256 over ``{timestamp}.{body}``
  under the newest secret as the text that it is, ``whsec_`` included.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_network

from standardwebhooks.webhooks import Webhook

from delivery.addresses import AddressPolicy
from delivery.errors import UrlRefused
from delivery.rules import Target, parse_url
from delivery.webhook import Message

PREFIX = "whsec_"
# The lengths that the specification asks for.
MIN_BYTES, MAX_BYTES = 24, 64
MAX_SECRETS = 5

_PORT = re.compile(r":[0-9]+$")
_ANYWHERE = AddressPolicy([ip_network("0.0.0.0/0"), ip_network("::/0")])


class SecretError(Exception):
    """A secret or an endpoint of the configuration is not usable; never shows the secret."""


def new_secret() -> str:
    """A secret of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def checked(texts: Sequence[str]) -> tuple[str, ...]:
    """Secrets, newest first. Raises SecretError."""
    if not 1 <= len(texts) <= MAX_SECRETS:
        raise SecretError(f"1 to {MAX_SECRETS} secrets, newest first")
    for number, text in enumerate(texts, 1):
        if not MIN_BYTES <= len(_decoded(text)) <= MAX_BYTES:
            raise SecretError(
                f'secret {number} must be "{PREFIX}" and {MIN_BYTES} to {MAX_BYTES} bytes in base64'
            )
    return tuple(texts)


def _decoded(text: str) -> bytes:
    if not text.startswith(PREFIX):
        return b""
    try:
        return base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except ValueError:  # binascii.Error, or not ASCII
        return b""


@dataclass(frozen=True)
class Endpoint:
    """Which URLs a secret is for; None stands for any scheme, or any port."""

    host: str
    scheme: str | None
    port: int | None
    path: str

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """From ``host``, ``host:port`` or the beginning of a URL. Raises SecretError."""
        whole = "://" in text
        try:
            target = parse_url(text if whole else f"https://{text}", _ANYWHERE)
        except UrlRefused as refused:
            raise SecretError(f"not the beginning of a URL: {refused.message}") from None
        path = target.path.rstrip("/")
        if "?" in path or (path and not whole):
            raise SecretError("write a host, host:port or the beginning of a URL")
        scheme = target.scheme if whole else None
        port = target.port if whole or _PORT.search(text) else None
        return cls(target.host, scheme, port, path)

    def covers(self, target: Target) -> bool:
        """A path covers itself and what is below it, never a longer name of the same start."""
        rest = target.path.removeprefix(self.path)
        return (
            self.host == target.host
            and self.scheme in (None, target.scheme)
            and self.port in (None, target.port)
            and target.path.startswith(self.path)
            and (not rest or rest[0] in "/?")
        )

    @property
    def rank(self) -> tuple[int, bool, bool]:
        """How exact it is: of several that cover a URL the greatest counts."""
        return len(self.path), self.scheme is not None, self.port is not None


@dataclass(frozen=True)
class Signer:
    """Signs each message with the secrets of its endpoint, else with the default ones."""

    default: tuple[str, ...] = field(repr=False)
    endpoints: Mapping[Endpoint, tuple[str, ...]] = field(default_factory=dict, repr=False)

    def secrets_for(self, url: str) -> tuple[str, ...]:
        """Raises UrlRefused."""
        target = parse_url(url, _ANYWHERE)
        covering = [each for each in self.endpoints if each.covers(target)]
        if not covering:
            return self.default
        return self.endpoints[max(covering, key=lambda each: each.rank)]

    def __call__(self, message: Message, timestamp: int) -> dict[str, str]:
        """The headers for one attempt at ``timestamp``, Unix seconds. Raises UrlRefused."""
        chosen = self.secrets_for(message.url)
        at, body = datetime.fromtimestamp(timestamp, UTC), message.body.decode()
        return {
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(
                _standard(secret).sign(message.id, at, body) for secret in chosen
            ),
            "X-Pixerve-Timestamp": str(timestamp),
            "X-Pixerve-Signature": f"sha256={_plain(chosen[0], timestamp, message.body)}",
        }


@cache
def _standard(secret: str) -> Webhook:
    return Webhook(secret)


def _plain(secret: str, timestamp: int, body: bytes) -> str:
    return hmac.new(secret.encode(), b"%d.%b" % (timestamp, body), hashlib.sha256).hexdigest()
