"""Where the records are: `PIXERVE_DATABASE_URL`, or SQLite in the data folder.

`parse` is strict, and says what is wrong without repeating a part of the URL: it holds a password,
and where it is malformed nobody knows which part that is.
"""

import re
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

EXAMPLE = "postgres://user:password@host:5432/name"
_SCHEMES = frozenset({"postgres", "postgresql"})
# Of libpq: how to reach a server and whom to trust there. `options` sets parameters of the session.
OPTIONS = frozenset(
    {"application_name", "connect_timeout", "host", "options", "passfile", "target_session_attrs"}
    | {"keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval"}
    | {"channel_binding", "gssencmode", "requirepeer", "tcp_user_timeout"}
    | {"sslcert", "sslcrl", "sslkey", "sslmode", "sslrootcert"}
)
# Whoever waits for a lock of a host that froze would wait for ever. The first is SQLite's patience
# too; after the second the server gives up on a transaction that nobody goes on with.
_SESSION = "-c lock_timeout=20s -c idle_in_transaction_session_timeout=60s"
_PATIENCE: dict[str, str] = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "application_name": "pixerve",
}
_KEPT_S = 600
# A job is some twenty statements, always the same ones: the server reads and plans each once for a
# connection, which takes a third off its CPU for a job. Django's default is for poolers.
_PREPARED: dict[str, Any] = {"server_side_binding": True, "prepare_threshold": 2}


class BadUrl(ValueError):
    """What is wrong with a database URL, without any part of it."""


def sqlite(data_dir: Path) -> dict[str, Any]:
    """Django's settings for SQLite.

    WAL lets readers and the one writer work side by side; IMMEDIATE takes the write lock at BEGIN,
    so that two transactions never deadlock half way. FULL keeps an acknowledged upload in a power
    cut.
    """
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": data_dir / "pixerve.sqlite3",
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        },
    }


def parse(url: str) -> dict[str, Any]:
    """Django's settings for a PostgreSQL at `url`. Raises BadUrl."""
    parts = _split(url)
    options = _options(parts.query)
    host = options.pop("host", "") or _plain(_host(parts))
    name = _plain(parts.path.removeprefix("/"))
    if not name or "/" in parts.path.removeprefix("/"):
        raise BadUrl(f"it must end with the name of one database, like {EXAMPLE}")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": _plain(parts.username or ""),
        "PASSWORD": _plain(parts.password or ""),
        "HOST": host,
        "PORT": str(_port(parts) or ""),
        # Kept, as a new connection costs several times what a job asks of it; looked at before it
        # is used again, so that a restart of the server is not noticed between two requests.
        "CONN_MAX_AGE": _KEPT_S,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": _PATIENCE
        | options
        | _PREPARED
        | {"options": f"{_SESSION} {options.get('options', '')}".strip()},
    }


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise BadUrl(f"write it like {EXAMPLE}") from None
    if parts.scheme not in _SCHEMES or not url.startswith(f"{parts.scheme}://"):
        raise BadUrl(f"write it like {EXAMPLE}")
    if parts.fragment or not url.isprintable() or " " in url:
        raise BadUrl(_ESCAPE)
    return parts


_ESCAPE = (
    "signs like / ? # @ % and spaces in a name or password must be percent-encoded (@ is %40), as"
    f" in {EXAMPLE}"
)


def _plain(text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise BadUrl(_ESCAPE)
    plain = unquote(text, errors="surrogateescape")
    if not plain.isprintable():
        raise BadUrl(_ESCAPE)
    return plain


def _host(parts: SplitResult) -> str:
    """As written: `SplitResult.hostname` is in lower case, which a socket's folder need not be."""
    host = parts.netloc.rpartition("@")[2]
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _port(parts: SplitResult) -> int | None:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise BadUrl(f"the port must be a number from 1 to 65535; {_ESCAPE}")
    return port


def _options(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise BadUrl(f"what follows the ? is no list of options; {_ESCAPE}") from None
    found = dict(pairs)
    if not OPTIONS.issuperset(found) or len(found) < len(pairs) or "" in found.values():
        raise BadUrl(f"after the ?, each once and with a value: {', '.join(sorted(OPTIONS))}")
    return found
