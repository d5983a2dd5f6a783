"""What all hosts must have the same, in a form that people can compare.

A host with another key, bucket or database starts as well as any; the jobs of the others are what
it spoils. So each host says at its start what it has, in a line that must be the same everywhere.
"""

import hashlib
from typing import Any

from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from pixerve_site.config import Config
from pixerve_site.keys import Keys

_DIGITS = 4  # two that differ show it but for one time in 65536, and nobody can tell a key by it


def line(config: Config, keys: Keys) -> str:
    """Like `database 51f0, bucket 9c3e, …`, without anything secret; needs the tables."""
    marks = [f"{name} {_mark(name, value)}" for name, value in _shared(config, keys).items()]
    return ", ".join(marks)


def _shared(config: Config, keys: Keys) -> dict[str, Any]:
    bucket = config.staging.options if config.staging else {}
    return {
        "database": _born(),
        "bucket": [bucket.get(name) for name in ("endpoint", "bucket", "prefix")],
        "secret key": keys.secret_key,
        "credential keys": keys.credential_keys,
        "upload keys": [keys.jwt_secret, keys.jwt_keys],
        "webhook secrets": [keys.signer.default, sorted(keys.signer.endpoints.items(), key=repr)],
    }


def _born() -> str:
    """When the first table was made, to the microsecond: no two databases have that in common,
    whatever names they are reached by."""
    applied = MigrationRecorder(connection).migration_qs.earliest("id").applied
    return str(applied.timestamp())


def _mark(name: str, value: object) -> str:
    return hashlib.sha256(f"pixerve {name} {value!r}".encode()).hexdigest()[:_DIGITS]
