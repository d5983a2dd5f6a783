"""Options are checked by name, take nothing from outside, and show no secret."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from storages.backends.gcloud import GoogleCloudStorage
from storages.backends.s3 import S3Storage

from delivery import backends
from delivery.backends import gcs_store, s3_store
from delivery.backends.base import canonical, read_options, split
from delivery.backends.errors import BadOptions
from delivery.backends.s3 import S3Options
from tests.delivery.backends.stores import destination, opened

PROJECT = Path(__file__).parents[3]
GOOD = {"bucket": "pictures", "access_key_id": "key"}
SECRET = {"secret_access_key": "CANARY"}


def s3(**given: Any) -> S3Options:
    return read_options(S3Options, destination("s3", GOOD | given, SECRET))


def test_the_names_of_the_original_body() -> None:
    body = {"access_key": "k", "secret_key": "s", "bucket": "b12"}
    fields = canonical(S3Options, body)
    assert fields == {"access_key_id": "k", "secret_access_key": "s", "bucket": "b12"}
    with pytest.raises(BadOptions, match="access_key_id is given twice"):
        canonical(S3Options, body | {"access_key_id": "k"})


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"colour": "red"}, "colour: Extra inputs"),
        ({"bucket": "../x"}, "bucket: "),
        ({"bucket": 5}, "bucket: "),
        ({"bucket": "arn:aws:s3:::x"}, "bucket: "),
        ({"endpoint": "ftp://x"}, "endpoint: "),
        ({"endpoint": "https://user:pass@x"}, "endpoint: "),
        ({"endpoint": "https://x/?a=b"}, "endpoint: "),
        ({"prefix": "/a"}, "prefix: "),
        ({"prefix": "a/../b"}, "prefix: "),
        ({"prefix": "a\n"}, "prefix: "),
        ({"region": ""}, "region: "),
        ({"acl": "everybody"}, "acl: "),
        ({"cache_control": "a\r\nb"}, "cache_control: "),
        ({"timeout_s": 0}, "timeout_s: "),
        ({"timeout_s": float("nan")}, "timeout_s: "),
        ({"addressing_style": "both"}, "addressing_style: "),
    ],
)
def test_wrong_options_are_named_without_their_value(given: dict[str, Any], field: str) -> None:
    with pytest.raises(BadOptions, match=field) as caught:
        s3(**given)
    assert "CANARY" not in str(caught.value)
    assert "pass@" not in str(caught.value)


def test_a_missing_option_is_named() -> None:
    with pytest.raises(BadOptions, match="secret_access_key: Field required"):
        read_options(S3Options, destination("s3", GOOD))


def test_options_split_and_come_together_again() -> None:
    options = s3(prefix="a", timeout_s=5)
    plain, secret = split(options)
    assert "CANARY" not in str(plain)
    assert secret == SECRET
    assert read_options(S3Options, destination("s3", plain, secret)) == options


def test_nothing_shows_a_secret() -> None:
    to = destination("s3", GOOD, SECRET)
    assert repr(to) == "Destination(s3, 'test-key')"
    with opened(to) as store:
        assert "CANARY" not in f"{to} {to!r} {s3()!r} {store!r}"


def test_defaults_differ_for_aws_and_others() -> None:
    aws, other = s3(), s3(endpoint="https://s3.example")
    assert (aws.style, aws.sends_sha256) == ("virtual", True)
    assert (other.style, other.sends_sha256) == ("path", False)
    assert not s3(endpoint="https://amazonaws.com.evil.example").is_aws
    assert s3(endpoint="https://s3.eu-west-1.amazonaws.com").is_aws


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(s3_store, S3Storage), (gcs_store, GoogleCloudStorage)],
    ids=["s3", "gcs"],
)
def test_every_setting_of_django_storages_is_given(ours: Any, theirs: Any) -> None:
    assert ours._NOTHING_SET.keys() == theirs().get_default_settings().keys()


def test_the_environment_has_no_say() -> None:
    """Not even one that would break boto3 or lead it elsewhere."""
    code = """
from delivery import backends
from tests.delivery.backends.stores import destination, opened
options = {"bucket": "pictures", "access_key_id": "key"}
with opened(destination("s3", options, {"secret_access_key": "s"})) as store:
    client = store._client
    config = client.meta.config
    print(client.meta.endpoint_url, client.meta.region_name, config.proxies, config.retries,
          config.request_checksum_calculation, config.max_pool_connections,
          store.url("a", expires_s=None))
"""
    hostile = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_PROFILE": "nobody",
        "AWS_REGION": "mars-1",
        "AWS_DEFAULT_REGION": "mars-1",
        "AWS_MAX_ATTEMPTS": "9",
        "AWS_CA_BUNDLE": "/nonexistent",
        "AWS_CONFIG_FILE": "/dev/stdin",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_DEFAULTS_MODE": "auto",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported",
        "AWS_S3_ACCESS_KEY_ID": "other",
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env=os.environ | hostile,
    )
    assert done.stderr == ""
    assert done.stdout.split() == [
        "https://s3.us-east-1.amazonaws.com",
        "us-east-1",
        "{}",
        "{'total_max_attempts':",
        "1,",
        "'mode':",
        "'standard'}",
        "when_required",
        "1",
        "https://pictures.s3.us-east-1.amazonaws.com/a",
    ]


def test_backends_know_each_other_by_name_only() -> None:
    assert {backends.load(name).type for name in backends.names()} >= {"s3", "local"}
