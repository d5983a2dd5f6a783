"""Where Redis and the shared bucket are: strict, and never a secret in what is said."""

from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from pydantic import SecretStr
from pytest_django import Settings

from pixerve_site import keys
from pixerve_site.config import Config, ConfigError, load
from pixerve_site.shared import BadUrl, check_broker, staging

HERE = {"PIXERVE_ENV_FILE": "/dev/null"}
KEYS = ("AKIA", "hush/hush")


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "redis://host:6379/0",
        "rediss://user:p%40ss@[::1]:6380/15",
        "redis://:pw@10.0.0.1/",
    ],
)
def test_a_broker(url: str) -> None:
    check_broker(url)


@pytest.mark.parametrize(
    "url",
    [
        "host:6379",
        "http://hush@host",
        "redis://",
        "redis://:hush@host:99999/0",
        "redis://:hush@host:0/0",
        "redis://:hush@host/one",
        "redis://:hush@host/0?timeout=1",
        "redis://:hu#sh@host/0",
        "redis://:hu sh@host/0",
    ],
)
def test_no_broker(url: str) -> None:
    with pytest.raises(BadUrl, match="redis://") as caught:
        check_broker(url)
    assert "hush" not in str(caught.value)


def test_a_bucket() -> None:
    url = "s3://Pics.old/a/b?endpoint=https://s3.example.com:9000&region=eu-1&addressing_style=path"
    found = staging(url, *KEYS)
    assert dict(found.options) == {
        "bucket": "Pics.old",
        "prefix": "a/b",
        "endpoint": "https://s3.example.com:9000",
        "region": "eu-1",
        "addressing_style": "path",
        "access_key_id": "AKIA",
        "timeout_s": 10,
    }
    assert found.secret == {"secret_access_key": "hush/hush"}
    assert not found.guarded


def test_keys_in_the_url_yield_to_given_ones() -> None:
    within = staging("s3://AK%2FIA:hush%2Fhush@bucket", None, None)
    assert within.options["access_key_id"] == "AK/IA"
    assert within.secret == {"secret_access_key": "hush/hush"}
    given = staging("s3://other:wrong@bucket", *KEYS)
    assert given.secret == {"secret_access_key": "hush/hush"}
    assert within.version != given.version


@pytest.mark.parametrize(
    "url",
    [
        "bucket",
        "https://bucket",
        "s3://",
        "s3://b:9000/x",
        "s3://A:hu%zzsh@bucket",
        "s3://bucket?endpoint=hush",
        "s3://bucket?endpoint=https://a&endpoint=https://b",
        "s3://bucket?secret=hush",
        "s3://bucket?acl=public-read",
        "s3://bucket/../up",
        "s3://bucket/a#hush",
    ],
)
def test_no_bucket(url: str) -> None:
    with pytest.raises(BadUrl) as caught:
        staging(url, *KEYS)
    assert "hush" not in str(caught.value)


def test_a_bucket_without_keys() -> None:
    with pytest.raises(BadUrl, match="PIXERVE_STAGING_SECRET_KEY"):
        staging("s3://bucket", "AKIA", None)


@pytest.mark.parametrize("name", ["STAGING_URL", "BROKER_URL"])
def test_a_wrong_setting_is_one_line_that_names_it(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(HERE | {f"PIXERVE_{name}": "ftp://hush@host"})
    assert str(caught.value).startswith(f"PIXERVE_{name}: ")
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_keys_from_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush\n")
    found = load(
        HERE
        | {
            "PIXERVE_STAGING_URL": "s3://bucket",
            "PIXERVE_STAGING_ACCESS_KEY": "AKIA",
            "PIXERVE_STAGING_SECRET_KEY_FILE": str(tmp_path / "secret"),
        }
    ).staging
    assert found is not None
    assert found.secret == {"secret_access_key": "hush"}
    assert "hush" not in repr(found)


def several(folder: Path, **given: str) -> Config:
    secrets: dict[str, Any] = {name: SecretStr(text) for name, text in given.items()}
    return Config(data_dir=folder, broker_url=SecretStr("redis://host"), **secrets)


def test_no_host_of_several_makes_keys_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PIXERVE_SECRET_KEY: set it, the same on each host"):
        keys.load(several(tmp_path / "second"))
    assert not (tmp_path / "second").exists()


def test_keys_that_one_machine_had_serve_several(tmp_path: Path) -> None:
    before = keys.load(Config(data_dir=tmp_path))
    after = keys.load(several(tmp_path))
    assert (after.secret_key, after.jwt_secret) == (before.secret_key, before.jwt_secret)
    (tmp_path / "webhook_secret").unlink()
    with pytest.raises(ConfigError, match="PIXERVE_WEBHOOK_SECRET: set it"):
        keys.load(several(tmp_path))


def checked(settings: Settings, **given: Any) -> dict[str, str]:
    settings.PIXERVE = settings.PIXERVE.model_copy(update={"database_url": None, **given})
    return {str(each.id): str(each.msg) for each in run_checks(tags=["pixerve"])}


@pytest.mark.parametrize("name", ["broker_url", "staging_url"])
def test_hosts_cannot_share_sqlite(settings: Settings, name: str) -> None:
    assert "SQLite" in checked(settings, **{name: SecretStr("x://y")})["pixerve.E004"]


def test_postgresql_is_shared(settings: Settings) -> None:
    url = SecretStr("postgres://u@h/n")
    found = checked(settings, broker_url=url, database_url=url)
    assert "pixerve.E004" not in found
    assert "this host" in found["pixerve.W002"]


def test_a_proxy_has_no_files_of_a_bucket(settings: Settings) -> None:
    found = checked(settings, staging=staging("s3://b", *KEYS), sendfile="x-sendfile")
    assert "PIXERVE_SENDFILE" in found["pixerve.E005"]
