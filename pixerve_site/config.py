"""Every `PIXERVE_*` variable as one typed, immutable object.

`load()` reads the environment, then `.env` for what is missing, then `PIXERVE_<NAME>_FILE` for
secrets kept in files. A wrong value is a `ConfigError`: one line that names the variable.
"""

import difflib
import io
import os
import re
from collections.abc import Mapping
from functools import cache, cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from delivery.destination import Destination
from encoders.budget import LEAST_MB, default_budget_mb
from pixerve_site import database, shared

PROJECT_ROOT = Path(__file__).resolve().parent.parent
PREFIX = "PIXERVE_"
# Read by the bootstrap script or by this module itself, not fields of Config.
OTHER_NAMES = frozenset({"NO_APT", "ENV_FILE"})

Network = IPv4Network | IPv6Network

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20}
_BYTES |= {"gib": 2**30, "k": 2**10, "m": 2**20, "g": 2**30}
_COUNTS = {"": 1, "mp": 10**6}


class ConfigError(Exception):
    """A setting that cannot be used; the message is one line for a person."""


def _scaled(units: Mapping[str, int], example: str) -> BeforeValidator:
    def parse(value: object) -> object:
        if not isinstance(value, str):
            return value
        match = re.fullmatch(r"(\d+)\s*([a-zA-Z]*)", value.strip())
        if match is None or match[2].lower() not in units:
            raise ValueError(f"write it like {example}")
        return int(match[1]) * units[match[2].lower()]

    return BeforeValidator(parse)


def _comma_list(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _every_port(value: object) -> object:
    return None if value == ("any",) else value


def _network(value: object) -> object:
    return ip_network(value, strict=False) if isinstance(value, str) else value


def _http_origin(value: object) -> object:
    if isinstance(value, str) and value:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
            raise ValueError("write it like https://images.example.com")
        return value.rstrip("/")
    return value


def _rate(value: object) -> object:
    text = str(value).strip()
    if text != "off" and not re.fullmatch(r"[1-9]\d{0,5}/[smhd]", text):
        raise ValueError('write it like 60/m, or "off"')
    return text


def _sendfile(value: object) -> object:
    text = str(value).strip()
    if text not in {"off", "x-sendfile"} and not re.fullmatch(r"x-accel:/[\w./-]*/", text):
        raise ValueError('write "off", "x-sendfile" or "x-accel:/internal-location/"')
    return text


def _database_url(value: SecretStr) -> SecretStr:
    database.parse(value.get_secret_value())
    return value


def _broker_url(value: SecretStr) -> SecretStr:
    shared.check_broker(value.get_secret_value())
    return value


Duration = Annotated[int, _scaled(_SECONDS, '"300", "300s", "15m", "12h" or "7d"')]
Size = Annotated[int, _scaled(_BYTES, '"1048576", "100 MiB" or "2 GiB"')]
Pixels = Annotated[int, _scaled(_COUNTS, '"100000000" or "100 MP"')]
Names = Annotated[tuple[str, ...], BeforeValidator(_comma_list)]
Networks = Annotated[
    tuple[Annotated[Network, BeforeValidator(_network)], ...], BeforeValidator(_comma_list)
]
Port = Annotated[int, Field(ge=1, le=65535)]
Ports = Annotated[
    Annotated[frozenset[Port], Field(min_length=1)] | None,
    BeforeValidator(_every_port),
    BeforeValidator(_comma_list),  # the last one runs first
]
Waits = Annotated[
    tuple[Annotated[Duration, Field(le=30 * 86400)], ...],
    BeforeValidator(_comma_list),
    Field(min_length=1, max_length=50),
]
Folders = Annotated[tuple[Path, ...], BeforeValidator(_comma_list)]
Secret = SecretStr | None


MOST_WORKERS = 64


def default_workers() -> int:
    """Every CPU this process may use but one, at least one."""
    return min(MOST_WORKERS, max(1, len(os.sched_getaffinity(0)) - 1))


class Config(BaseModel):
    """The settings; field names are the variables' names without `PIXERVE_`, in lower case."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    # Django's settings ask their values for it at each access; pydantic is slow to say no.
    _mask_wrapped: ClassVar[bool] = True

    data_dir: Path = Path("data")
    serve_dir: Path = Path("serve")
    fonts_dir: Path | None = None
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=1, le=65535)
    public_url: Annotated[str, BeforeValidator(_http_origin)] = ""
    allowed_hosts: Names = ()
    trusted_proxies: Networks = ()
    cors_origins: Names = ()
    max_workers: int = Field(default_factory=default_workers, ge=1, le=MOST_WORKERS)
    max_concurrent_per_subject: int = Field(0, ge=0, le=10_000)
    web_threads: int = Field(32, ge=2, le=512)
    database_url: Annotated[SecretStr, AfterValidator(_database_url)] | None = None
    broker_url: Annotated[SecretStr, AfterValidator(_broker_url)] | None = None
    staging_url: Secret = None
    staging_access_key: Secret = None
    staging_secret_key: Secret = None
    staging_files: Literal["stream", "redirect"] = "stream"

    secret_key: Secret = None
    credential_keys: Secret = None
    jwt_secret: Secret = None
    jwt_keys: Secret = None
    webhook_secret: Secret = None
    webhook_secrets: Secret = None
    jwt_issuer: str | None = None
    jwt_audience: Names = ()
    jwt_max_lifetime: Duration = Field(7 * 86400, ge=60)
    form_token: bool = False
    open_registration: bool = False
    anonymous_status: Literal["full", "state", "off"] = "state"
    rate_limit: Annotated[str, BeforeValidator(_rate)] = "60/m"

    max_upload_bytes: Size = Field(100 * 2**20, ge=1024)
    max_request_bytes: Size = 0
    max_files: int = Field(20, ge=1, le=1000)
    max_pixels: Pixels = Field(100_000_000, ge=1)
    max_side: int = Field(16384, ge=1, le=65535)
    max_frames: int = Field(500, ge=1)
    memory_mb: int = Field(default_factory=default_budget_mb, ge=LEAST_MB)
    max_variants: int = Field(64, ge=1, le=1000)
    job_timeout: Duration = Field(300, ge=1, le=86400)
    stop_grace: Duration = Field(30, ge=5, le=3600)

    retention_days: int = Field(30, ge=1, le=36500)
    failed_retention_days: int = Field(7, ge=0, le=36500)
    failed_keep_bytes: Size = 10 * 2**30
    callback_allow_private: Networks = ()
    callback_ports: Ports = frozenset({80, 443})
    callback_schedule: Waits = (0, 5, 60, 300, 1800, 7200, 18_000, 36_000, 86_400)
    local_roots: Folders = ()
    delivery_schedule: Waits = (0, 10, 60, 300, 900, 1800)
    delivery_max_age: Duration = Field(86400, ge=1, le=30 * 86400)
    private_link_lifetime: Duration = Field(3600, ge=1, le=7 * 86400)
    sendfile: Annotated[str, BeforeValidator(_sendfile)] = "off"
    max_queue_age: Duration = 0
    ready_queue_age: Duration = Field(900, ge=1)
    ready_free_bytes: Size = 2**30
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @property
    def database(self) -> dict[str, Any]:
        """Django's settings for the database."""
        if self.database_url is None:
            return database.sqlite(self.data_dir)
        return database.parse(self.database_url.get_secret_value())

    @cached_property
    def staging(self) -> Destination | None:
        """The bucket of staging; None for the data folder. Raises ValueError."""
        if self.staging_url is None:
            return None
        keys = (self.staging_access_key, self.staging_secret_key)
        access, secret = (each.get_secret_value() if each else None for each in keys)
        return shared.staging(self.staging_url.get_secret_value(), access, secret)

    @property
    def has_many_hosts(self) -> bool:
        """Whether something is set that only serves several hosts."""
        return self.broker_url is not None or self.staging_url is not None

    @property
    def request_limit(self) -> int:
        """Bytes one request body may have: what is set, else one file and room for the form."""
        return self.max_request_bytes or self.max_upload_bytes + 2**20

    @property
    def base_url(self) -> str:
        """Where clients reach this server, without a trailing slash."""
        if self.public_url:
            return self.public_url
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


SECRET_FIELDS = frozenset(
    {
        "broker_url",
        "database_url",
        "secret_key",
        "credential_keys",
        "jwt_secret",
        "jwt_keys",
        "staging_access_key",
        "staging_secret_key",
        "staging_url",
        "webhook_secret",
        "webhook_secrets",
    }
)


def _env_file(named: str | None) -> dict[str, str | None]:
    """What the file of settings says; nothing where there is none and none was named."""
    path = Path(named or PROJECT_ROOT / ".env")
    try:
        return dotenv_values(stream=io.StringIO(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        if named:
            raise ConfigError(f"{PREFIX}ENV_FILE: cannot read it: {error}") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        name = f"{PREFIX}ENV_FILE" if named else str(path)
        raise ConfigError(f"{name}: cannot read it: {error}") from None


def _variables(environ: Mapping[str, str]) -> dict[str, str]:
    """All `PIXERVE_*` values by bare name; the environment wins over `.env`."""
    merged = {**_env_file(environ.get(f"{PREFIX}ENV_FILE")), **environ}
    return {
        name.removeprefix(PREFIX): value
        for name, value in merged.items()
        if name.startswith(PREFIX) and value
    }


def _read_secret_files(values: dict[str, str]) -> None:
    for field in SECRET_FIELDS:
        path = values.pop(f"{field.upper()}_FILE", None)
        if path is None:
            continue
        try:
            values[field.upper()] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{PREFIX}{field.upper()}_FILE: cannot read it: {error}") from None


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    field = str(first["loc"][0])
    message = first["msg"].removeprefix("Value error, ")
    shown = "" if field in SECRET_FIELDS else f" (got {str(first['input'])[:80]!r})"
    return f"{PREFIX}{field.upper()}: {message}{shown}"


def unknown_names(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that look like settings but are none, each with the nearest real name or ''."""
    known = {name.upper() for name in Config.model_fields} | OTHER_NAMES
    known |= {f"{name.upper()}_FILE" for name in SECRET_FIELDS}
    strangers = sorted(set(_variables(environ)) - known)
    return {
        PREFIX + name: PREFIX + near[0] if near else ""
        for name in strangers
        for near in [difflib.get_close_matches(name, known, 1)]
    }


def load(environ: Mapping[str, str]) -> Config:
    """The settings from `environ` and `.env`; relative folders are below the project root.

    Raises ConfigError with one line that names the variable.
    """
    values = _variables(environ)
    _read_secret_files(values)
    fields: dict[str, Any] = {
        name: values[name.upper()] for name in Config.model_fields if name.upper() in values
    }
    try:
        config = Config(**fields)
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None
    try:
        _ = config.staging  # it takes three settings together
    except shared.BadUrl as error:
        raise ConfigError(f"{PREFIX}STAGING_URL: {error}") from None
    folders: dict[str, Any] = {
        name: (PROJECT_ROOT / folder).resolve()
        for name in ("data_dir", "serve_dir", "fonts_dir")
        if (folder := getattr(config, name)) is not None
    }
    if config.fonts_dir is not None and not folders["fonts_dir"].is_dir():
        raise ConfigError(f"{PREFIX}FONTS_DIR: there is no such folder (got {config.fonts_dir})")
    folders["local_roots"] = tuple((PROJECT_ROOT / each).resolve() for each in config.local_roots)
    return config.model_copy(update=folders)


@cache
def current() -> Config:
    """The settings of this process, read once."""
    return load(os.environ)
