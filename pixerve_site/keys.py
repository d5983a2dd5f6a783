"""The secrets of this installation: from the settings, else from 0600 files made on first use.

With several hosts none is made: each host would make its own, and refuse what another signed or
sealed.

Several processes may start at once on an empty data folder: a key is written to a temp file and
linked to its name, so exactly one wins and nobody ever reads half a key.
"""

import json
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.fernet import Fernet

from delivery.signing import Endpoint, SecretError, Signer, checked, new_secret
from pixerve_site.config import Config, ConfigError

MIN_SECRET_BYTES = 32


@dataclass(frozen=True)
class Keys:
    """What signs and seals; `made` names the files that this process created."""

    secret_key: str = field(repr=False)
    jwt_secret: str | None = field(repr=False)
    jwt_keys: str | None = field(repr=False)
    credential_keys: tuple[str, ...] = field(repr=False)
    signer: Signer = field(repr=False)
    made: tuple[Path, ...] = ()


@dataclass
class _Files:
    """The key files of the data folder; `made` names those that were not there."""

    folder: Path
    may_make: bool
    made: list[Path] = field(default_factory=list)

    def read(self, name: str, setting: str, make: Callable[[], str]) -> str:
        """Raises ConfigError where the key is nowhere and must not be made."""
        path = self.folder / name
        if not self.may_make and not path.exists():
            raise ConfigError(
                f"{setting}: set it, the same on each host; with PIXERVE_BROKER_URL or"
                f" PIXERVE_STAGING_URL no host makes keys of its own (there is no {path} either)"
            )
        return _read_or_make(path, make, self.made)


def _read_or_make(path: Path, make: Callable[[], str], made: list[Path]) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        pass
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(make())
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(temporary, path)
        made.append(path)
    except FileExistsError:
        pass  # another process was first; its key is the key
    finally:
        temporary.unlink()
    return path.read_text(encoding="utf-8")


def _jwt_secret_of(text: str, path: Path) -> str:
    try:
        secret = json.loads(text)["secret"]
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f'{path}: expected {{"secret": "…"}}') from None
    return str(secret)


def _checked_secret(secret: str, name: str) -> str:
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ConfigError(f"{name}: at least {MIN_SECRET_BYTES} bytes, or it can be guessed")
    if "-----BEGIN" in secret:
        raise ConfigError(f"{name}: this is a PEM key; public keys belong in PIXERVE_JWT_KEYS")
    return secret


def _checked_fernet(keys: tuple[str, ...]) -> tuple[str, ...]:
    if not keys:
        raise ConfigError("PIXERVE_CREDENTIAL_KEYS: there is no key in it")
    for number, key in enumerate(keys, 1):
        try:
            Fernet(key)
        except ValueError:
            raise ConfigError(
                f"PIXERVE_CREDENTIAL_KEYS: key {number} is not 32 url-safe base64-encoded bytes"
            ) from None
    return keys


def _listed(text: str) -> list[str]:
    """Secrets that are separated by commas or white space."""
    return text.replace(",", " ").split()


def _signer(config: Config, files: _Files) -> Signer:
    default = (
        config.webhook_secret.get_secret_value()
        if config.webhook_secret
        else files.read("webhook_secret", "PIXERVE_WEBHOOK_SECRET", lambda: new_secret() + "\n")
    )
    endpoints = config.webhook_secrets.get_secret_value() if config.webhook_secrets else "{}"
    return Signer(
        _webhook_secrets(_listed(default), "PIXERVE_WEBHOOK_SECRET"), _endpoints(endpoints)
    )


def _webhook_secrets(texts: Sequence[str], name: str) -> tuple[str, ...]:
    try:
        return checked(texts)
    except SecretError as error:
        raise ConfigError(f"{name}: {error}") from None


def _endpoints(text: str) -> dict[Endpoint, tuple[str, ...]]:
    """From `{"endpoint": "secret" or ["newest", "older"]}`; names entries by number, as somebody
    may have put a secret where the endpoint belongs."""
    found: dict[Endpoint, tuple[str, ...]] = {}
    for number, (endpoint, texts) in enumerate(_pairs(text), 1):
        name = f"PIXERVE_WEBHOOK_SECRETS: entry {number}"
        try:
            parsed = Endpoint.parse(endpoint)
        except SecretError as error:
            raise ConfigError(f"{name}: {error}") from None
        found[parsed] = _webhook_secrets(texts, name)
    return found


def _pairs(text: str) -> list[tuple[str, list[str]]]:
    try:
        pairs = [(to, [x] if isinstance(x, str) else x) for to, x in json.loads(text).items()]
    except (ValueError, AttributeError):
        pairs = [("", None)]
    lists = [each for _, each in pairs if isinstance(each, list)]
    if len(lists) < len(pairs) or not all(isinstance(x, str) for each in lists for x in each):
        raise ConfigError(
            "PIXERVE_WEBHOOK_SECRETS: write it like"
            ' {"hooks.example.com": ["whsec_newest", "whsec_older"]}'
        )
    return pairs


def load(config: Config) -> Keys:
    """All keys of this installation, made where missing. Raises ConfigError, OSError."""
    files = _Files(config.data_dir, may_make=not config.has_many_hosts)
    secret_key = (
        config.secret_key.get_secret_value()
        if config.secret_key
        else files.read("secret_key", "PIXERVE_SECRET_KEY", lambda: secrets.token_urlsafe(64))
    )
    if config.jwt_secret:
        jwt_secret: str | None = _checked_secret(
            config.jwt_secret.get_secret_value(), "PIXERVE_JWT_SECRET"
        )
    elif config.jwt_keys:
        jwt_secret = None
    else:
        path = config.data_dir / "jwt.json"
        fresh = json.dumps({"secret": secrets.token_urlsafe(48)}) + "\n"
        text = files.read(path.name, "PIXERVE_JWT_SECRET", lambda: fresh)
        jwt_secret = _checked_secret(_jwt_secret_of(text, path), str(path))
    sealed = (
        config.credential_keys.get_secret_value()
        if config.credential_keys
        else files.read(
            "credential_keys", "PIXERVE_CREDENTIAL_KEYS", lambda: Fernet.generate_key().decode()
        )
    )
    signer = _signer(config, files)
    return Keys(
        secret_key=_checked_secret(secret_key.strip(), "PIXERVE_SECRET_KEY"),
        jwt_secret=jwt_secret,
        jwt_keys=config.jwt_keys.get_secret_value() if config.jwt_keys else None,
        credential_keys=_checked_fernet(tuple(_listed(sealed))),
        signer=signer,
        made=tuple(files.made),
    )
