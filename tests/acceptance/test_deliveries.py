"""A whole server delivers to real stores, through a proxy that misbehaves, and through kill -9."""

import hashlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from delivery.hosting import TEMPORARY_PREFIX
from tests.acceptance.endpoint import endpoint
from tests.acceptance.evidence import SMALL, another, cast, family, job_row, rows, staged
from tests.delivery.backends.conftest import bucket, client, gateway, proxy
from tests.delivery.backends.stores import Bucket
from tests.delivery.backends.test_sftp import Folder, folder, sshd
from tests.peers.faults import Fault, FaultyProxy
from tests.server import Pixerve, make_token, running, wait_for

__all__ = ["bucket", "client", "folder", "gateway", "proxy", "sshd"]
CANARY = "canary-9c41-never-to-be-seen"
FORMATS = {"jpg": {"sizes": [[64], [32]]}, "webp": {"sizes": [[48]]}, "png": {"sizes": [[40]]}}
FILES = 4


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("roots")


@pytest.fixture(scope="module")
def deliverer(tmp_path_factory: pytest.TempPathFactory, roots: Path) -> Iterator[Pixerve]:
    """A server that tries again soon."""
    with running(
        tmp_path_factory.mktemp("deliverer"),
        PIXERVE_LOCAL_ROOTS=str(roots),
        PIXERVE_DELIVERY_SCHEDULE="0,1,1,1,1,1,1,1",
        PIXERVE_MAX_WORKERS="2",
    ) as server:
        yield server


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

    def __init__(self, server: Pixerve, keys: dict[str, Any], **more: Any) -> None:
        self.server = server
        self.token = make_token({"formats": FORMATS, "storageKeys": keys, **more})
        answer = server.upload(another(SMALL, uuid.uuid4().hex), self.token)
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


def check_bucket(bucket: Bucket, shown: dict[str, Any]) -> None:
    """Every file is there with equal bytes, and nothing else."""
    files = {each["name"]: each["sha256"] for each in shown["files"]}
    assert len(files) == FILES
    found = {key: hashlib.sha256(bucket.content(key)).hexdigest() for key in bucket.keys()}  # noqa: SIM118
    assert found == files
    assert bucket.unfinished() == []


def test_server_errors_pass_and_the_callback_tells_where(
    deliverer: Pixerve, bucket: Bucket, proxy: FaultyProxy, roots: Path
) -> None:
    proxy.faults.append(Fault("PUT", "status", status=500, times=5))
    far, (near, place) = s3(deliverer, bucket, proxy.endpoint), local(deliverer, roots)
    with endpoint() as receiver:
        hook = {"completionCallback": receiver.url, "directHost": True}
        sent = Sent(deliverer, {"s3": far, "local": [near]}, **hook)
        shown = sent.end(within_s=60)
        told = wait_for(lambda: receiver.calls, what="the callback")[0].json()
    assert shown["state"] == "completed", shown
    check_bucket(bucket, shown)
    assert len(list(place.iterdir())) == FILES
    assert {each["attempts"] for each in sent.deliveries(near)} == {1}
    assert len(told["deliveries"]) == 2 * FILES
    assert all(each["url"] for each in told["deliveries"] if each["type"] == "s3")
    head = bucket.client.head_object(Bucket=bucket.name, Key=shown["files"][0]["name"])
    assert head["ContentType"] == "image/jpeg"
    assert head["CacheControl"] == "public, no-cache"
    wait_for(lambda: not staged(deliverer), what="clean staging")


def test_sftp_s3_and_direct_hosting_at_once(
    deliverer: Pixerve, bucket: Bucket, folder: Folder
) -> None:
    to = folder.destination()
    ssh = register(deliverer, "sftp", {**to.options, **to.secret})
    far = s3(deliverer, bucket, bucket.gateway.endpoint)
    keys = {"s3": far, "sftp": [ssh]}
    sent = [Sent(deliverer, keys, directHost=True, subDir="tenant/a") for _ in range(3)]
    want: dict[str, str] = {}
    for each in sent:
        shown = each.end()
        assert shown["state"] == "completed", shown
        want |= {"tenant/a/" + made["name"]: made["sha256"] for made in shown["files"]}
        assert all(made["url"] for made in shown["files"])
    assert len(want) == 3 * FILES
    for key, sha256 in want.items():
        assert hashlib.sha256(bucket.content(key)).hexdigest() == sha256
        assert hashlib.sha256((folder.root / key).read_bytes()).hexdigest() == sha256
    assert sorted(bucket.keys()) == sorted(want)
    there = [each for each in folder.files() if (folder.root / each).is_file()]
    assert there == sorted(want)


def test_a_private_bucket_is_fetched_by_the_signed_url(deliverer: Pixerve, bucket: Bucket) -> None:
    sent = Sent(deliverer, {"s3": s3(deliverer, bucket, bucket.gateway.endpoint)})
    shown = sent.end()
    for each in shown["deliveries"]:
        with urlopen(each["url"], timeout=10) as answer:
            content = answer.read()
        assert len(content) == each["bytes"]


def test_refused_for_good_then_replayed(
    deliverer: Pixerve, bucket: Bucket, proxy: FaultyProxy, roots: Path
) -> None:
    refusal = b"<Error><Code>AccessDenied</Code></Error>"
    proxy.faults.append(Fault("PUT", "status", status=403, body=refusal))
    far, (near, place) = s3(deliverer, bucket, proxy.endpoint), local(deliverer, roots)
    sent = Sent(deliverer, {"s3": far, "local": near})
    shown = sent.end()
    assert (shown["state"], shown["error"]["code"]) == ("failed", "delivery_failed")
    assert f"s3 {far}: access_denied" in shown["error"]["message"]
    assert {each["state"] for each in sent.deliveries(near)} == {"delivered"}
    assert {each["attempts"] for each in sent.deliveries(far)} == {1}
    # What is there is not sent again, what failed is not converted again.
    for each in place.iterdir():
        each.unlink()
    made_by = job_row(deliverer, sent.uid)["made_by"]
    proxy.faults.clear()
    replay(deliverer, sent)
    shown = wait_for(lambda: sent.status() if completed(sent) else None, what="the replay")
    check_bucket(bucket, shown)
    assert list(place.iterdir()) == []
    assert job_row(deliverer, sent.uid)["made_by"] == made_by


def completed(sent: Sent) -> bool:
    return bool(sent.status()["state"] == "completed")


def replay(server: Pixerve, sent: Sent) -> None:
    code = (
        "from jobs import lifecycle; from jobs.models import Job;"
        f"lifecycle.replay(Job.objects.get(uid='{sent.uid}'))"
    )
    done = server.manage("shell", "-c", code)
    assert done.returncode == 0, done.stderr


def test_a_worker_killed_while_it_delivers(
    deliverer: Pixerve, bucket: Bucket, proxy: FaultyProxy, roots: Path
) -> None:
    proxy.faults.append(Fault("PUT", "hang"))
    far, (near, place) = (
        s3(deliverer, bucket, proxy.endpoint, timeout_s=60),
        local(deliverer, roots),
    )
    sent = Sent(deliverer, {"s3": far, "local": near})
    wait_for(lambda: [each for each in proxy.seen if each.startswith("PUT")], what="an upload")
    row = wait_for(
        lambda: (found := job_row(deliverer, sent.uid))["made_by"] and found, what="the plan"
    )
    worker = int(row["owner"].split("/")[1])
    proxy.faults.clear()
    [process] = [each for each in cast(deliverer, workers=2).workers if each.pid == worker]
    process.kill()
    shown = sent.end()
    assert shown["state"] == "completed", shown
    check_bucket(bucket, shown)
    # A copy that the kill cut off may still lie beside them under its temporary name.
    whole = [each for each in place.iterdir() if not each.name.startswith(TEMPORARY_PREFIX)]
    assert len(whole) == FILES
    after = job_row(deliverer, sent.uid)
    assert (after["made_by"], after["fence"] > row["fence"]) == (row["made_by"], True)
    told = rows(deliverer, "SELECT count(*) FROM jobs_event WHERE job_id = ?", after["id"])
    assert told[0][0] == 1


def test_a_clerk_killed_while_it_delivers(
    deliverer: Pixerve, bucket: Bucket, proxy: FaultyProxy
) -> None:
    proxy.faults.append(Fault("PUT", "status", status=500, times=FILES))
    proxy.faults.append(Fault("PUT", "hang"))
    far = s3(deliverer, bucket, proxy.endpoint, timeout_s=60)
    sent = Sent(deliverer, {"s3": far})
    held = "SELECT owner FROM jobs_delivery WHERE state = 'sending' AND credential_key = ?"

    def clerk_sends() -> bool:
        owner = job_row(deliverer, sent.uid)["owner"]
        return owner == "" and bool(rows(deliverer, held, far))

    wait_for(clerk_sends, what="a delivery by the clerk")
    proxy.faults.clear()
    cast(deliverer, workers=2).clerk.kill()
    shown = sent.end()
    assert shown["state"] == "completed", shown
    check_bucket(bucket, shown)


def test_a_storage_that_is_away_holds_up_nothing_else(
    deliverer: Pixerve, bucket: Bucket, proxy: FaultyProxy, roots: Path
) -> None:
    proxy.faults.append(Fault("*", "status", status=503))
    far, (near, _) = s3(deliverer, bucket, proxy.endpoint), local(deliverer, roots)
    away = [Sent(deliverer, {"s3": far}) for _ in range(4)]
    others = [Sent(deliverer, {"local": near}) for _ in range(4)]
    for each in others:
        assert each.end()["state"] == "completed"
    assert {each.status()["state"] for each in away} <= {"pending", "processing"}

    def opened() -> bool:
        found = deliverer.get("/readyz", token=deliverer.staff_token()).json()["storages"]
        return bool(far in found and found[far]["breaker"] == "open")

    wait_for(opened, what="an open breaker")
    seen = len(proxy.seen)
    late = Sent(deliverer, {"s3": far, "local": near})
    late.wait_for_states(near, {"delivered"})
    assert {each["attempts"] for each in late.deliveries(far)} == {0}
    assert len(proxy.seen) == seen
    proxy.faults.clear()
    for each in [*away, late]:
        assert each.end(within_s=90)["state"] == "completed"
    assert len(bucket.keys()) == 5 * FILES


def test_a_secret_is_seen_nowhere(deliverer: Pixerve, bucket: Bucket) -> None:
    far = s3(deliverer, bucket, bucket.gateway.endpoint, secret_key=CANARY)
    sent = Sent(deliverer, {"s3": far})
    shown = sent.end()
    assert shown["state"] == "failed"
    assert far in shown["error"]["message"]
    staff = deliverer.staff_token()
    for path in (f"/status?hash={sent.reference}", f"/failures?hash={sent.reference}", "/readyz"):
        for token in (sent.token, staff):
            assert CANARY not in deliverer.get(path, token=token).body.decode()
    assert CANARY not in deliverer.log
    for process in family(deliverer):
        assert CANARY not in " ".join([*process.cmdline(), *process.environ().values()])
    told = rows(deliverer, "SELECT payload FROM jobs_event")
    assert told
    assert not any(CANARY in each["payload"] for each in told)
