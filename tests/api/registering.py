"""Storages registered by staff through /v1/credentials."""

import json
from typing import Any

from tests.api.caller import Api

SECRET = "hush-hush-secret"
DATA = {"access_key": "AKIA1", "secret_key": SECRET, "bucket": "pictures"}
ORIGINAL = {"key": "my-s3-key", "type": "s3", "data": DATA}
ALL = "/v1/credentials"
ONE = f"{ALL}/my-s3-key"


def create(api: Api, staff: str, **changes: Any) -> Any:
    return api.post_json(ALL, {**ORIGINAL, **changes}, token=staff)


def patch(api: Api, staff: str, body: object, path: str = ONE) -> Any:
    return api.call(
        "PATCH", path, token=staff, data=json.dumps(body), content_type="application/json"
    )


def trial(api: Api, staff: str, path: str = ONE) -> Any:
    answer = api.call("POST", f"{path}/test", token=staff)
    assert answer.status_code == 200, answer.content
    return answer.json()
