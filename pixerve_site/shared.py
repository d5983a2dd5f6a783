"""What several hosts share beside the database: `PIXERVE_BROKER_URL` and `PIXERVE_STAGING_URL`.

Both may hold a password. What is wrong is said without repeating a part of the URL: where it is
malformed nobody knows which part the password is.
"""

import hashlib
import re
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from delivery.backends import s3
from delivery.backends.base import read_options
from delivery.backends.errors import BadOptions
from delivery.destination import Destination

BROKER_EXAMPLE = "redis://:password@host:6379/0"
STAGING_EXAMPLE = "s3://bucket/prefix?endpoint=https://s3.example.com&region=eu-central-1"
# What a bucket may need to be told; the rest of S3Options is about objects that others fetch.
STAGING_OPTIONS = frozenset(
    {"addressing_style", "checksum", "endpoint", "region", "sse", "sse_kms_key_id", "storage_class"}
)
_ESCAPE = "signs like / ? # @ % in a key or password must be percent-encoded (/ is %2F)"
# A worker beats while it waits, an uploader waits himself: nobody should for long.
_TIMEOUT_S = 10


class BadUrl(ValueError):
    """What is wrong with a URL, without any part of it."""


def check_broker(url: str) -> None:
    """Raises BadUrl unless `url` names a Redis."""
    parts = _split(url, {"redis", "rediss"}, BROKER_EXAMPLE)
    if not parts.hostname or parts.query or not re.fullmatch(r"(/\d{0,4})?", parts.path):
        raise BadUrl(f"write it like {BROKER_EXAMPLE}, or rediss:// for TLS; {_ESCAPE}")


def staging(url: str, access_key: str | None, secret_key: str | None) -> Destination:
    """The bucket of staging. Keys that are given go before those in the URL. Raises BadUrl."""
    parts = _split(url, {"s3"}, STAGING_EXAMPLE)
    options = _options(parts) | {"bucket": _bucket(parts), "timeout_s": _TIMEOUT_S}
    user, password = _plain(parts.username or ""), _plain(parts.password or "")
    options["access_key_id"] = access_key or user
    secret = {"secret_access_key": secret_key or password}
    if not options["access_key_id"] or not secret["secret_access_key"]:
        raise BadUrl("set PIXERVE_STAGING_ACCESS_KEY and PIXERVE_STAGING_SECRET_KEY, too")
    if prefix := _plain(parts.path.strip("/")):
        options["prefix"] = prefix
    version = hashlib.sha256(repr((sorted(options.items()), secret)).encode()).hexdigest()
    found = Destination("s3", "staging", options, secret, guarded=False, version=version)
    try:
        read_options(s3.S3Options, found)
    except BadOptions as error:
        raise BadUrl(f"{error.message}; write it like {STAGING_EXAMPLE}") from None
    return found


def _split(url: str, schemes: set[str], example: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port_is_good = parts.port != 0
    except ValueError:
        raise BadUrl(f"write it like {example}; {_ESCAPE}") from None
    if parts.scheme not in schemes or not url.startswith(f"{parts.scheme}://"):
        raise BadUrl(f"write it like {example}")
    if parts.fragment or not url.isprintable() or " " in url or not port_is_good:
        raise BadUrl(f"write it like {example}; {_ESCAPE}")
    return parts


def _bucket(parts: SplitResult) -> str:
    """As written: `SplitResult.hostname` is in lower case, which an old bucket need not be."""
    name = parts.netloc.rpartition("@")[2]
    if not name or ":" in name:
        raise BadUrl(f"write it like {STAGING_EXAMPLE}; {_ESCAPE}")
    return name


def _options(parts: SplitResult) -> dict[str, Any]:
    try:
        pairs = parse_qsl(parts.query, strict_parsing=True) if parts.query else []
    except ValueError:
        raise BadUrl(f"what follows the ? is no list of options; {_ESCAPE}") from None
    found = dict(pairs)
    if not STAGING_OPTIONS.issuperset(found) or len(found) < len(pairs):
        known = ", ".join(sorted(STAGING_OPTIONS))
        raise BadUrl(f"after the ?, each once and with a value: {known}")
    return dict(found)


def _plain(text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise BadUrl(_ESCAPE)
    return unquote(text)
