"""A whole server delivers to real stores, through a proxy that misbehaves, and through kill -9."""

import hashlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from delivery.backends.base import digest
from tests.acceptance.delivering import FILES, FORMATS, Sent, check_bucket, local, register, s3
from tests.acceptance.endpoint import endpoint
from tests.acceptance.evidence import SMALL, another, cast, family, job_row, rows, staged
from tests.delivery.backends.conftest import bucket, client, gateway, proxy
from tests.delivery.backends.stores import Bucket
from tests.delivery.backends.test_gcs import Place, google, place
from tests.delivery.backends.test_sftp import Folder, folder, sshd
from tests.peers.faults import Fault, FaultyProxy
from tests.server import Pixerve, make_token, multipart, running, wait_for

pytestmark = pytest.mark.faults

__all__ = ["bucket", "client", "folder", "gateway", "google", "place", "proxy", "sshd"]
CANARY = "canary-9c41-never-to-be-seen"


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


def test_server_errors_pass_and_the_callback_tells_where(
    deliverer: Pixerve, bucket: Bucket, proxy: FaultyProxy, roots: Path
) -> None:
    proxy.faults.append(Fault("PUT", "status", status=500, times=4))  # a fifth: half a minute
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


JOBS, BATCH = 100, 20


def misbehave(proxy: FaultyProxy) -> None:
    """Never so often in a row that the breaker opens: that would only take time."""
    proxy.faults += [
        Fault("PUT", "status", status=500, every=7),
        Fault("PUT", "hang", every=97, times=2),
        Fault("PUT", "cut_request", every=31),
        Fault("PUT", "wrong_body", every=23),
        Fault("PUT", "cut_answer", every=29),
        Fault("PUT", "slow", every=37, pause_s=0.002),
        # Only after an answer like this one is the store asked what it has.
        Fault("PUT", "headers", headers={"ETag": '"odd"'}, every=5),
        Fault("HEAD", "status", status=503, every=9),
        Fault("HEAD", "headers", headers={"ETag": '"odd"'}, every=4),
        Fault("GET", "wrong_answer", every=5),
    ]


def crowd(server: Pixerve, job: dict[str, Any]) -> list[str]:
    """Upload all pictures; their hashes."""
    token = make_token(job, subject="crowd")
    uploads = []
    for _ in range(JOBS // BATCH):
        files = [another(SMALL, uuid.uuid4().hex) for _ in range(BATCH)]
        parts = [("file", f"{number}.jpg", content) for number, content in enumerate(files)]
        body, content_type = multipart(parts)
        headers = {"Content-Type": content_type}
        answer = server.request("POST", "/upload", token=token, body=body, headers=headers)
        assert answer.status == 202, answer.body
        uploads += answer.json()["uploads"]
    return [each["hash"] for each in uploads]


def ended(server: Pixerve) -> int:
    query = (
        "SELECT count(*) FROM jobs_job WHERE subject = 'crowd' AND state IN ('completed', 'failed')"
    )
    return int(rows(server, query)[0][0])


def test_a_hundred_jobs_to_everywhere_while_a_storage_misbehaves_and_a_worker_is_killed(
    deliverer: Pixerve, bucket: Bucket, proxy: FaultyProxy, folder: Folder, place: Place
) -> None:
    misbehave(proxy)
    ssh, google = folder.destination(), place.destination()
    keys = {
        "s3": s3(deliverer, bucket, proxy.endpoint, timeout_s=2),
        "sftp": register(deliverer, "sftp", {**ssh.options, **ssh.secret}),
        "gcs": register(deliverer, "gcs", {**google.options, **google.secret}),
    }
    job = {"formats": FORMATS, "storageKeys": keys, "directHost": True, "subDir": "a/b"}
    with endpoint() as receiver:
        hashes = crowd(deliverer, job | {"completionCallback": receiver.url})
        wait_for(lambda: ended(deliverer) >= 10, within_s=60, what="ten ends")
        cast(deliverer, workers=2).workers[0].kill()
        wait_for(lambda: ended(deliverer) == JOBS, within_s=160, what="all ends")
        wait_for(lambda: len(receiver.calls) >= JOBS, what="all callbacks")
    failed = "SELECT error_message FROM jobs_job WHERE subject = 'crowd' AND state = 'failed'"
    assert [tuple(each) for each in rows(deliverer, failed)] == []
    made = rows(
        deliverer,
        "SELECT r.key, r.sha256 FROM jobs_rendition r JOIN jobs_job j ON j.id = r.job_id"
        " WHERE subject = 'crowd'",
    )
    want = {each["key"]: each["sha256"] for each in made}
    assert len(want) == JOBS * FILES
    check_folders(want, folder.root, deliverer.serve_dir)
    md5s = {key: digest(folder.root / key).md5 for key in want}
    assert bucket.md5s() == place.md5s() == md5s
    assert bucket.unfinished() == []
    # Each end is told under one id, however often.
    told = {(call.json()["hash"], call.id) for call in receiver.calls}
    assert sorted(name for name, _ in told) == sorted(hashes)
    assert {call.json()["status"] for call in receiver.calls} == {"completed"}
    assert not any(fault.met < fault.every for fault in proxy.faults if fault.method == "PUT")
    wait_for(lambda: not staged(deliverer), what="clean staging")


def check_folders(want: dict[str, str], sftp: Path, hosted: Path) -> None:
    """Below "a" there is exactly what was made, no temporary name, no empty folder."""
    for root in (sftp, hosted):
        found = [each for each in (root / "a").rglob("*") if not each.is_dir()]
        content = {str(each.relative_to(root)): each.read_bytes() for each in found}
        assert {key: hashlib.sha256(each).hexdigest() for key, each in content.items()} == want
    assert [each.name for each in sftp.iterdir()] == ["a"]


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
    """One file of five is so large that it goes in parts, of which the kill leaves some."""
    proxy.faults.append(Fault("PUT", "hang", path="partNumber=2"))
    far, (near, place) = (
        s3(deliverer, bucket, proxy.endpoint, timeout_s=60),
        local(deliverer, roots),
    )
    sent = Sent(deliverer, {"s3": far, "local": near}, size=17 << 20, keepOriginal=True)
    wait_for(lambda: [each for each in proxy.seen if "partNumber=2" in each], what="a part")
    assert len(bucket.unfinished()) == 1
    row = wait_for(
        lambda: (found := job_row(deliverer, sent.uid))["made_by"] and found, what="the plan"
    )
    worker = int(row["owner"].split("/")[1])
    proxy.faults.clear()
    [process] = [each for each in cast(deliverer, workers=2).workers if each.pid == worker]
    process.kill()
    shown = sent.end()
    assert shown["state"] == "completed", shown
    check_bucket(bucket, shown, FILES + 1)
    assert len(list(place.iterdir())) == FILES + 1
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
