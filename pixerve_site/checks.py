"""System checks with ids and hints; `manage.py check`, `serve` and the web entry point run them.

pixerve.E001  the upload secret is the staff key, or the secret both come from
pixerve.E002  PIXERVE_JWT_KEYS holds no usable key
pixerve.E003  a folder cannot be made or written
pixerve.E004  Redis or a bucket is set, but no database that hosts can share
pixerve.E005  PIXERVE_SENDFILE with a bucket, whose files the proxy does not have
pixerve.W002  Redis is set, but no bucket that hosts can share
pixerve.W001  a PIXERVE_ variable that is no setting
pixerve.I001  the kernel cannot hold converter children back as it might
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning, register  # noqa: A004

from encoders.sandbox import powers
from jobs import tokens
from pixerve_site.config import unknown_names


def _shared_secrets() -> set[bytes]:
    """What upload tokens may be signed with and verified with alike."""
    try:
        keys = tokens.verifying_keys(settings.KEYS.jwt_secret, settings.KEYS.jwt_keys)
    except tokens.KeyConfigError:
        return set()  # pixerve.E002 says so
    return {
        key.key if isinstance(key.key, bytes) else key.key.encode()
        for key in keys
        if key.algorithm.startswith("HS")
    }


@register("pixerve")
def check_separate_keys(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """Whoever mints upload tokens must not be able to become staff."""
    if not _shared_secrets() & {settings.SECRET_KEY.encode(), settings.STAFF_TOKEN_KEY.encode()}:
        return []
    return [
        Error(
            "The upload tokens' secret is the key that staff tokens are signed with or come from.",
            hint="Set PIXERVE_JWT_SECRET and PIXERVE_SECRET_KEY to different values.",
            id="pixerve.E001",
        )
    ]


@register("pixerve")
def check_jwt_keys(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """A key that cannot be read would refuse every upload."""
    try:
        tokens.verifying_keys(settings.KEYS.jwt_secret, settings.KEYS.jwt_keys)
    except tokens.KeyConfigError as error:
        return [Error(f"PIXERVE_JWT_KEYS: {error}", id="pixerve.E002")]
    return []


def _unwritable(folder: Path, mode: int) -> str | None:
    """Why nothing can be put there; makes the folder with `mode` where it is missing."""
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
    except OSError as error:
        return error.strerror or str(error)
    return None if os.access(folder, os.W_OK | os.X_OK) else "not writable"


@register("pixerve")
def check_folders(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """Data and hosted files need a place."""
    folders = {
        "PIXERVE_DATA_DIR": (settings.PIXERVE.data_dir, 0o700),
        "PIXERVE_SERVE_DIR": (settings.PIXERVE.serve_dir, 0o755),
    }
    return [
        Error(f"{name}: {folder}: {reason}", id="pixerve.E003")
        for name, (folder, mode) in folders.items()
        if (reason := _unwritable(folder, mode))
    ]


@register("pixerve")
def check_database_is_shared(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """SQLite is a file of one host; what others put into the bucket it would never hear of."""
    config = settings.PIXERVE
    if not config.has_many_hosts or config.database_url is not None:
        return []
    return [
        Error(
            "PIXERVE_BROKER_URL and PIXERVE_STAGING_URL are for several hosts, which cannot share"
            " SQLite.",
            hint="Set PIXERVE_DATABASE_URL to a PostgreSQL, or neither of the two.",
            id="pixerve.E004",
        )
    ]


@register("pixerve")
def check_staging_is_shared(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """What one host keeps in its data folder, others look for in vain."""
    if settings.PIXERVE.broker_url is None or settings.PIXERVE.staging is not None:
        return []
    return [
        Warning(
            "PIXERVE_BROKER_URL is set, but uploads and hosted files stay on this host.",
            hint="Set PIXERVE_STAGING_URL before you add a second one.",
            id="pixerve.W002",
        )
    ]


@register("pixerve")
def check_sendfile(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """A proxy can only send what lies on its disk."""
    if settings.PIXERVE.staging is None or settings.PIXERVE.sendfile == "off":
        return []
    return [
        Error(
            "PIXERVE_SENDFILE needs files in PIXERVE_SERVE_DIR, but PIXERVE_STAGING_URL puts them"
            " into a bucket.",
            hint="Set PIXERVE_STAGING_FILES=redirect to let the bucket send them.",
            id="pixerve.E005",
        )
    ]


@register("pixerve")
def check_unknown_names(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """A misspelt variable would silently do nothing."""
    return [
        Warning(
            f"{name} is not a setting.",
            hint=f"Did you mean {near}?" if near else "docs/operations.md lists all settings.",
            id="pixerve.W001",
        )
        for name, near in unknown_names(os.environ).items()
    ]


@register("pixerve")
def check_sandbox(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """Without seccomp or Landlock, limits and policy.xml have to do."""
    found = powers()
    if found.seccomp and found.landlock:
        return []
    hint = "Linux 5.13 or newer on x86-64 or arm64 has both; a container runtime may hide them."
    return [Info(f"Converter children run with {found}.", hint=hint, id="pixerve.I001")]
