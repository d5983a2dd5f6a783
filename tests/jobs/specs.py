"""Instructions to start a test from, and what a refusal of them looks like."""

import pytest

from jobs.errors import InvalidSpec
from jobs.spec import parse

HOST = {"directHost": True}
JPG = {"formats": {"jpg": {}}, **HOST}


def refused(job: object) -> InvalidSpec:
    with pytest.raises(InvalidSpec) as caught:
        parse(job)
    error = caught.value
    assert error.code == "invalid_spec"
    assert error.errors
    assert error.field == error.errors[0]["field"]
    return error
