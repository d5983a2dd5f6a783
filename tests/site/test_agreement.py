"""The line by which people see that two hosts belong together."""

import re
from dataclasses import replace

import pytest
from django.conf import settings
from pydantic import SecretStr

from delivery.signing import Endpoint, Signer
from pixerve_site import agreement

NAMES = ["database", "bucket", "secret key", "credential keys", "upload keys", "webhook secrets"]
pytestmark = pytest.mark.django_db


def marks(**changes: object) -> dict[str, str]:
    """What is said where some keys, or the `bucket`, are others."""
    bucket = changes.pop("bucket", "pictures/one")
    config = settings.PIXERVE.model_copy(
        update={
            "staging_url": SecretStr(f"s3://{bucket}"),
            "staging_access_key": SecretStr(str(changes.pop("access_key", "key"))),
            "staging_secret_key": SecretStr("secret"),
        }
    )
    config.__dict__.pop("staging", None)  # the copy's own, not that of the original
    said = agreement.line(config, replace(settings.KEYS, **changes))
    found = [re.fullmatch(r"(.+) ([0-9a-f]{4})", each) for each in said.split(", ")]
    return {match[1]: match[2] for match in found if match}


def test_the_same_for_the_same() -> None:
    first = marks()
    assert list(first) == NAMES
    assert marks() == first
    # Hosts may have keys of their own for the one bucket.
    assert marks(access_key="another") == first


ONE = Signer(("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",))
TWO = Signer(ONE.default, {Endpoint.parse("hooks.example.com"): ONE.default})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("bucket", {"bucket": "pictures/two"}),
        ("bucket", {"bucket": "pictures/one?endpoint=https://s3.example.com"}),
        ("secret key", {"secret_key": "another"}),
        ("credential keys", {"credential_keys": ("another",)}),
        ("upload keys", {"jwt_secret": "another"}),
        ("upload keys", {"jwt_keys": "another"}),
        ("webhook secrets", {"signer": ONE}),
        ("webhook secrets", {"signer": TWO}),
    ],
)
def test_what_differs_is_named(name: str, change: dict[str, object]) -> None:
    before, after = marks(), marks(**change)
    assert [each for each in NAMES if before[each] != after[each]] == [name]
