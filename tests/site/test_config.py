"""Settings: each with its unit and limits, and one clear line for a wrong one."""

import os
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from pixerve_site.config import PROJECT_ROOT, Config, ConfigError, load, unknown_names

NO_FILE = {"PIXERVE_ENV_FILE": "/dev/null"}


def read(**values: str) -> Config:
    return load({**NO_FILE, **{f"PIXERVE_{name}": value for name, value in values.items()}})


def refused(**values: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(**values)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_defaults_are_those_of_the_documents() -> None:
    found = read()
    assert (found.host, found.port, found.public_url) == ("127.0.0.1", 8080, "")
    assert found.data_dir == PROJECT_ROOT / "data"
    assert found.serve_dir == PROJECT_ROOT / "serve"
    assert (found.max_upload_bytes, found.max_files) == (100 * 2**20, 20)
    assert (found.max_pixels, found.max_side, found.max_frames) == (100_000_000, 16384, 500)
    assert (found.max_variants, found.job_timeout) == (64, 300)
    assert (found.retention_days, found.failed_retention_days) == (30, 7)
    assert (found.jwt_max_lifetime, found.rate_limit) == (7 * 86400, "60/m")
    assert (found.anonymous_status, found.open_registration) == ("state", False)
    assert (found.form_token, found.sendfile) == (False, "off")
    assert found.callback_allow_private == found.trusted_proxies == ()


@pytest.mark.parametrize(("cpus", "workers"), [(1, 1), (2, 1), (8, 7), (65, 64), (96, 64)])
def test_as_many_workers_as_cpus_but_one(
    monkeypatch: pytest.MonkeyPatch, cpus: int, workers: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)))
    assert read().max_workers == workers


def test_the_folder_of_fonts_must_be_there(tmp_path: Path) -> None:
    assert read().fonts_dir is None
    assert read(FONTS_DIR=str(tmp_path)).fonts_dir == tmp_path
    assert read(FONTS_DIR="encoders/fonts").fonts_dir == PROJECT_ROOT / "encoders" / "fonts"
    assert refused(FONTS_DIR=str(tmp_path / "none")).startswith("PIXERVE_FONTS_DIR: there is no")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("300", 300), ("300s", 300), ("15m", 900), ("12h", 43200), ("1d", 86400), (" 5 M ", 300)],
)
def test_durations(text: str, seconds: int) -> None:
    assert read(JOB_TIMEOUT=text).job_timeout == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 2**20),
        ("100 MiB", 100 * 2**20),
        ("100M", 100 * 2**20),
        ("2GiB", 2 * 2**30),
        ("5 MB", 5_000_000),
        ("64kib", 65536),
        ("2048b", 2048),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert read(MAX_UPLOAD_BYTES=text).max_upload_bytes == size


@pytest.mark.parametrize(("text", "pixels"), [("100 MP", 10**8), ("5", 5), ("12mp", 12_000_000)])
def test_pixels(text: str, pixels: int) -> None:
    assert read(MAX_PIXELS=text).max_pixels == pixels


@pytest.mark.parametrize(
    ("text", "value"), [("on", True), ("off", False), ("true", True), ("0", False), ("yes", True)]
)
def test_switches(text: str, value: bool) -> None:
    assert read(FORM_TOKEN=text).form_token is value


def test_lists() -> None:
    found = read(
        TRUSTED_PROXIES="10.0.0.1, 192.168.0.0/16,::1",
        ALLOWED_HOSTS="a.example, b.example",
        CORS_ORIGINS="https://a.example",
        CALLBACK_ALLOW_PRIVATE="127.0.0.0/8",
        LOCAL_ROOTS="/srv/pictures, out",
    )
    assert found.trusted_proxies == tuple(
        map(ip_network, ("10.0.0.1/32", "192.168.0.0/16", "::1/128"))
    )
    assert found.allowed_hosts == ("a.example", "b.example")
    assert found.local_roots == (Path("/srv/pictures"), PROJECT_ROOT / "out")
    assert found.callback_allow_private == (ip_network("127.0.0.0/8"),)


def test_ports() -> None:
    assert read().callback_ports == {80, 443}
    assert read(CALLBACK_PORTS="80, 443,8443").callback_ports == {80, 443, 8443}
    assert read(CALLBACK_PORTS="any").callback_ports is None


def test_waits() -> None:
    assert read(CALLBACK_SCHEDULE="0, 30s, 5m,1h, 2d").callback_schedule == (
        0,
        30,
        300,
        3600,
        172_800,
    )


WRONG = [
    ("PORT", "0"),
    ("PORT", "65536"),
    ("PORT", "http"),
    ("MAX_WORKERS", "0"),
    ("MAX_WORKERS", "many"),
    ("MAX_UPLOAD_BYTES", "100 MX"),
    ("MAX_UPLOAD_BYTES", "-1"),
    ("MAX_UPLOAD_BYTES", "1.5 MiB"),
    ("MAX_UPLOAD_BYTES", "1"),
    ("MAX_FILES", "0"),
    ("MAX_PIXELS", "0"),
    ("MAX_PIXELS", "100 MiB"),
    ("MAX_SIDE", "0"),
    ("MAX_FRAMES", "0"),
    ("MAX_VARIANTS", "0"),
    ("JOB_TIMEOUT", "soon"),
    ("JOB_TIMEOUT", "0"),
    ("JWT_MAX_LIFETIME", "5"),
    ("RETENTION_DAYS", "0"),
    ("RETENTION_DAYS", "30d"),
    ("FAILED_RETENTION_DAYS", "-1"),
    ("FORM_TOKEN", "maybe"),
    ("OPEN_REGISTRATION", "2"),
    ("ANONYMOUS_STATUS", "some"),
    ("RATE_LIMIT", "60"),
    ("RATE_LIMIT", "0/m"),
    ("RATE_LIMIT", "60/min"),
    ("SENDFILE", "on"),
    ("SENDFILE", "x-accel:internal"),
    ("PUBLIC_URL", "img.example.com"),
    ("PUBLIC_URL", "ftp://img.example.com"),
    ("PUBLIC_URL", "https://"),
    ("PUBLIC_URL", "https://a/?x=1"),
    ("TRUSTED_PROXIES", "proxy.example"),
    ("TRUSTED_PROXIES", "10.0.0.0/33"),
    ("CALLBACK_ALLOW_PRIVATE", "all"),
    ("CALLBACK_PORTS", "0"),
    ("CALLBACK_PORTS", "http"),
    ("CALLBACK_PORTS", "65536"),
    ("CALLBACK_SCHEDULE", "soon"),
    ("CALLBACK_SCHEDULE", "31d"),
    ("CALLBACK_SCHEDULE", ","),
    ("LOG_LEVEL", "LOUD"),
    ("STOP_GRACE", "1"),
    ("WEB_THREADS", "1"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_one_line_that_names_it(name: str, value: str) -> None:
    message = refused(**{name: value})
    assert message.startswith(f"PIXERVE_{name}: ")
    assert value[:20] in message


def test_a_wrong_secret_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        read(JWT_SECRET_FILE="/nowhere/hush")
    assert str(caught.value).startswith("PIXERVE_JWT_SECRET_FILE: ")


def test_secrets_from_files(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from a file\n")
    found = read(JWT_SECRET_FILE=str(file))
    assert found.jwt_secret is not None
    assert found.jwt_secret.get_secret_value() == "from a file"
    assert "from a file" not in repr(found)


def test_a_secret_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"\xff\xfe\0")
    assert "PIXERVE_SECRET_KEY_FILE" in refused(SECRET_KEY_FILE=str(file))


def test_secrets_do_not_show() -> None:
    found = read(JWT_SECRET="hush" * 10, SECRET_KEY="hush" * 10, CREDENTIAL_KEYS="hush" * 10)
    assert "hush" not in repr(found)
    assert "hush" not in str(found)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PIXERVE_PORT=1111\nPIXERVE_HOST=10.0.0.1\nOTHER=x\n")
    found = load({"PIXERVE_ENV_FILE": str(file), "PIXERVE_PORT": "2222"})
    assert (found.port, found.host) == (2222, "10.0.0.1")


@pytest.mark.parametrize("content", [None, b"PIXERVE_HOST=\xff"])
def test_a_file_that_was_named_must_be_there(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "pixerve.env"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^PIXERVE_ENV_FILE: cannot read it: .*$"):
        load({"PIXERVE_ENV_FILE": str(file)})


def test_an_empty_value_is_the_default() -> None:
    assert read(PORT="", PUBLIC_URL="").port == 8080


def test_folders_are_below_the_project_unless_absolute(tmp_path: Path) -> None:
    assert read(DATA_DIR="elsewhere/data").data_dir == PROJECT_ROOT / "elsewhere" / "data"
    assert read(DATA_DIR=str(tmp_path)).data_dir == tmp_path.resolve()


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"PORT": "9"}, "http://127.0.0.1:9"),
        ({"HOST": "0.0.0.0"}, "http://127.0.0.1:8080"),
        ({"HOST": "::1"}, "http://[::1]:8080"),
        ({"HOST": "img.local"}, "http://img.local:8080"),
        ({"PUBLIC_URL": "https://img.example.com/"}, "https://img.example.com"),
        ({"PUBLIC_URL": "https://a.example/images"}, "https://a.example/images"),
    ],
)
def test_where_clients_reach_it(values: dict[str, str], url: str) -> None:
    assert read(**values).base_url == url


def test_room_for_one_file_and_its_form() -> None:
    found = read(MAX_UPLOAD_BYTES="10 MiB")
    assert found.request_limit == 11 * 2**20
    assert read(MAX_REQUEST_BYTES="5 MiB").request_limit == 5 * 2**20


def test_misspelt_names_are_found() -> None:
    found = unknown_names(
        {**NO_FILE, "PIXERVE_PROT": "1", "PIXERVE_XQZW": "1", "PIXERVE_PORT": "1"}
    )
    assert found == {"PIXERVE_PROT": "PIXERVE_PORT", "PIXERVE_XQZW": ""}
    assert unknown_names({**NO_FILE, "PIXERVE_NO_APT": "1", "PIXERVE_JWT_SECRET_FILE": "x"}) == {}


def test_it_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        read().port = 5  # type: ignore[misc]


def test_without_a_url_the_database_is_a_file_of_the_data_folder(tmp_path: Path) -> None:
    found = read(DATA_DIR=str(tmp_path)).database
    assert found["NAME"] == tmp_path / "pixerve.sqlite3"
    assert found["ENGINE"].endswith("sqlite3")


@pytest.mark.parametrize(
    ("url", "read_as"),
    [
        ("postgres://u:p@h:5433/d", ("u", "p", "h", "5433", "d")),
        ("postgresql://h/d", ("", "", "h", "", "d")),
        ("postgres://u%40x:p%40%2F%3A%25%23@[::1]/d%20e", ("u@x", "p@/:%#", "::1", "", "d e")),
        ("postgres://u@%2Fvar%2FRun%2Fpostgresql/d", ("u", "", "/var/Run/postgresql", "", "d")),
        ("postgres:///d?host=/run/postgresql", ("", "", "/run/postgresql", "", "d")),
    ],
)
def test_the_url_of_a_database(url: str, read_as: tuple[str, ...]) -> None:
    found = read(DATABASE_URL=url).database
    assert tuple(found[name] for name in ("USER", "PASSWORD", "HOST", "PORT", "NAME")) == read_as


def test_options_of_a_database_are_laid_over_ours() -> None:
    url = "postgres://h/d?sslmode=require&connect_timeout=3&options=-c%20work_mem%3D8MB"
    options = read(DATABASE_URL=url).database["OPTIONS"]
    assert (options["sslmode"], options["connect_timeout"]) == ("require", "3")
    assert options["tcp_user_timeout"] == "30000"
    assert options["options"].startswith("-c lock_timeout=20s ")
    assert options["options"].endswith(" -c work_mem=8MB")


@pytest.mark.parametrize(
    "url",
    [
        "hush",
        "sqlite:///hush",
        "mysql://u:hush@h/d",
        "postgres:u:hush@h/d",
        "postgres://u:hush@h",
        "postgres://u:hush@h/",
        "postgres://u:hush@h/d/e",
        "postgres://u:hu/sh@h/d",
        "postgres://u:hu#sh@h/d",
        "postgres://u:hu?sh@h/d",
        "postgres://u:hu?sh=1@h/d",
        "postgres://u:hush%@h/d",
        "postgres://u:hush%00@h/d",
        "postgres://u:hu sh@h/d",
        "postgres://u:hush@h:0/d",
        "postgres://u:hush@h:x/d",
        "postgres://u:hush@[::1/d",
        "postgres://u:hush@h/d?hush=1",
        "postgres://u:hush@h/d?sslmode=",
        "postgres://u:hush@h/d?sslmode=require&sslmode=disable",
    ],
)
def test_a_wrong_url_of_a_database_is_one_line_without_it(url: str, tmp_path: Path) -> None:
    message = refused(DATABASE_URL=url)
    assert message.startswith("PIXERVE_DATABASE_URL: ")
    assert "hush" not in message
    file = tmp_path / "url"
    file.write_text(f"{url}\n")
    assert refused(DATABASE_URL_FILE=str(file)) == message


def test_the_url_of_a_database_is_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgres://u:hush@h/d\n")
    found = read(DATABASE_URL_FILE=str(file))
    assert found.database["PASSWORD"] == "hush"
    assert "hush" not in repr(found) + str(found)
