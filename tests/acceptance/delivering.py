"""Jobs that deliver, the credentials they name, and what became of them."""

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

from tests.acceptance.evidence import SMALL, another
from tests.delivery.backends.stores import Bucket
from tests.server import Pixerve, make_token, wait_for

FORMATS = {"jpg": {"sizes": [[64], [32]]}, "webp": {"sizes": [[48]]}, "png": {"sizes": [[40]]}}
FILES = 4


def register(server: Pixerve, kind: str, data: dict[str, Any]) -> str:
    key = f"{kind}-{uuid.uuid4().hex[:8]}"
    body = json.dumps({"key": key, "type": kind, "data": data}).encode()
    answer = server.request(
        "POST",
        "/v1/credentials",
        token=server.staff_token(),
        body=body,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status == 201, answer.body
    return key


def s3(server: Pixerve, bucket: Bucket, endpoint: str, **data: Any) -> str:
    return register(
        server,
        "s3",
        {
            "endpoint": endpoint,
            "bucket": bucket.name,
            "access_key": bucket.gateway.access_key,
            "secret_key": bucket.gateway.secret_key,
            "timeout_s": 5,
            **data,
        },
    )


def local(server: Pixerve, roots: Path) -> tuple[str, Path]:
    folder = roots / uuid.uuid4().hex
    folder.mkdir()
    return register(server, "local", {"root": str(folder)}), folder


class Sent:
    """One upload, and what became of it."""

    def __init__(
        self, server: Pixerve, keys: dict[str, Any], *, size: int = 0, **more: Any
    ) -> None:
        self.server = server
        self.token = make_token({"formats": FORMATS, "storageKeys": keys, **more})
        answer = server.upload(another(SMALL, uuid.uuid4().hex, size=size), self.token)
        assert answer.status == 202, answer.body
        self.reference = str(answer.json()["hash"])
        self.uid = str(answer.json()["job_id"]).replace("-", "")

    def status(self) -> dict[str, Any]:
        return self.server.status(self.reference, self.token)

    def end(self, **options: Any) -> dict[str, Any]:
        return self.server.wait_end(self.reference, self.token, **options)

    def deliveries(self, key: str) -> list[dict[str, Any]]:
        return [each for each in self.status()["deliveries"] if each["storage_key"] == key]

    def wait_for_states(self, key: str, wanted: set[str]) -> None:
        def look() -> bool:
            return {each["state"] for each in self.deliveries(key)} == wanted

        wait_for(look, what=f"{wanted} at {key}")


def check_bucket(bucket: Bucket, shown: dict[str, Any], count: int = FILES) -> None:
    """Every file is there with equal bytes, and nothing else."""
    files = {each["name"]: each["sha256"] for each in shown["files"]}
    assert len(files) == count
    found = {key: hashlib.sha256(bucket.content(key)).hexdigest() for key in bucket.keys()}  # noqa: SIM118
    assert found == files
    assert bucket.unfinished() == []
