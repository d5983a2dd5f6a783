"""Several hosts on one PostgreSQL, one Redis and one bucket: no host is special, none is missed."""

import hashlib
import json
import re
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance import hosts
from tests.acceptance.endpoint import endpoint
from tests.acceptance.evidence import (
    QUICK_JOB,
    SMALL,
    another,
    cast,
    converter_of,
    job_row,
    post,
    rows,
    slow_job,
    wait_ended,
)
from tests.acceptance.hosts import Hosts
from tests.delivery.backends.conftest import client, gateway, proxy
from tests.delivery.backends.stores import Bucket
from tests.deploy.backing import backing_up, uploading
from tests.peers import ceph
from tests.peers.ceph import Ceph
from tests.peers.faults import Fault, FaultyProxy
from tests.server import Pixerve, free_port, make_token, running, wait_for

__all__ = ["client", "gateway", "proxy"]
pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(hosts.missing() is not None, reason=str(hosts.missing())),
]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, gateway: Ceph, client: Any) -> Iterator[Hosts]:
    folder = tmp_path_factory.mktemp("hosts")
    with hosts.two_hosts(folder, gateway, client, PIXERVE_DELIVERY_SCHEDULE="0,1,1,1") as found:
        yield found


@contextmanager
def no_claims(*servers: Pixerve) -> Iterator[None]:
    """These hosts' workers hear of nothing for the length of a `with`."""
    pushers = [cast(server, workers=1).pusher for server in servers]
    for pusher in pushers:
        pusher.suspend()
    try:
        yield
    finally:
        for pusher in pushers:
            pusher.resume()


def completed(server: Pixerve, uid: str) -> bool:
    return f"job {uuid.UUID(uid)} completed" in server.log


def test_what_one_host_takes_another_makes_and_both_give(both: Hosts) -> None:
    with endpoint() as receiver, no_claims(both.a):
        job = {**QUICK_JOB, "keepOriginal": True, "completionCallback": receiver.url}
        uid = post(both.a, SMALL, job)
        wait_ended(both.a, [uid])
        wait_for(lambda: receiver.calls, what="the callback")
    wait_for(lambda: completed(both.b, uid), what="the maker's word")
    assert not completed(both.a, uid)
    made = rows(
        both.a,
        "SELECT r.* FROM jobs_rendition r JOIN jobs_job j ON j.id = job_id WHERE j.uid = ?",
        uid,
    )
    assert len(made) == 2
    for server in (both.a, both.b):
        for each in made:
            check_gives(server, f"/files/{each['key']}", each["sha256"], each["bytes"])
    assert not [*both.a.serve_dir.iterdir(), *both.b.serve_dir.iterdir()]
    both.check_clean()


def test_both_say_that_they_belong_together(both: Hosts) -> None:
    said = [
        re.findall(r"^the same on each host: (database .+)$", server.log, re.MULTILINE)
        for server in (both.a, both.b)
    ]
    assert len(said[0]) == 1
    assert said[0] == said[1]


def check_gives(server: Pixerve, path: str, sha256: str, size: int) -> None:
    """The whole of it, a part, only its headers, nothing new, and no bytes beyond its end."""
    whole = server.get(path)
    assert (whole.status, hashlib.sha256(whole.body).hexdigest()) == (200, sha256)
    etag = f'"{sha256}"'
    assert whole.headers["ETag"] == etag
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert whole.headers["Content-Type"] == "image/jpeg"
    part = server.get(path, headers={"Range": "bytes=2-11", "If-Range": etag})
    assert (part.status, part.body) == (206, whole.body[2:12])
    assert part.headers["Content-Range"] == f"bytes 2-11/{size}"
    head = server.request("HEAD", path)
    assert (head.status, head.headers["Content-Length"], head.body) == (200, str(size), b"")
    assert server.get(path, headers={"If-None-Match": etag}).status == 304
    assert server.get(path, headers={"Range": f"bytes={size}-"}).status == 416
    assert server.get(f"{path}x").status == 404


def test_a_private_link_of_one_host_opens_at_the_other(both: Hosts) -> None:
    token = make_token({**QUICK_JOB, "private": True}, subject="shy")
    end = both.a.wait_end(both.a.upload(another(SMALL, "shy"), token).json()["hash"], token)
    link = end["files"][0]["url"].removeprefix(both.a.url)
    assert both.b.get(link.partition("?")[0]).status == 403
    answer = both.b.get(link)
    assert hashlib.sha256(answer.body).hexdigest() == end["files"][0]["sha256"]
    assert answer.headers["Cache-Control"] == "private, no-cache"


def test_wake_ups_cross_hosts(both: Hosts) -> None:
    """Not by looking at the table each second: most of these are claimed long before."""
    waits = []
    with no_claims(both.a):
        for number in range(9):
            token = make_token(QUICK_JOB, subject=f"caller-{number}")
            answer = both.a.upload(another(SMALL, f"ring {number}"), token).json()
            waits.append(both.a.wait_end(answer["hash"], token)["timings"]["queued"])
    assert sorted(waits)[4] < 300, waits


def test_order_and_turns_hold_across_hosts(both: Hosts) -> None:
    with no_claims(both.a, both.b):
        many = [post(both.a, another(SMALL, f"much {n}"), QUICK_JOB, "much") for n in range(8)]
        one = post(both.b, another(SMALL, "little"), QUICK_JOB, "little")
        urgent = post(both.b, another(SMALL, "late"), {**QUICK_JOB, "priority": 5}, "late")
    wait_ended(both.a, [*many, one, urgent])
    claimed = {uid: job_row(both.a, uid)["claimed_at"] for uid in (*many, one, urgent)}
    order = sorted(claimed, key=lambda uid: claimed[uid])
    # A pusher that was stopped had looked before: each of the two workers may hold one wake-up.
    assert order.index(one) <= 3
    assert order[-1] == urgent
    assert [uid for uid in order if uid in many] == many


def test_redis_that_loses_everything_loses_no_job(both: Hosts) -> None:
    def upload(number: int) -> str:
        server = (both.a, both.b)[number % 2]
        if number == 5:
            both.redis.client().flushall()
        if number == 10:
            both.redis.kill()
        return post(server, another(SMALL, f"redis {number}"), QUICK_JOB, f"user-{number % 3}")

    with ThreadPoolExecutor(2) as pool:
        uids = list(pool.map(upload, range(20)))
    wait_ended(both.a, uids, within_s=60)
    assert {job_row(both.a, uid)["state"] for uid in uids} == {"completed"}
    both.redis.start()
    for server in (both.a, both.b):
        wait_for(lambda server=server: "Redis is back" in server.log, what="the bells")
        assert server.log.count("Redis is away") <= len(server.processes())
    both.check_clean()


def test_a_bucket_that_is_away_refuses_uploads_and_holds_jobs_up(both: Hosts) -> None:
    uid = post(both.a, another(SMALL, "through"), slow_job(100))
    waiting = [post(both.a, another(SMALL, f"wait {n}"), QUICK_JOB, f"w-{n}") for n in range(2)]
    child = converter_of(both.a, uid)
    child.suspend()
    fault = Fault("*", "status", status=503)
    both.proxy.faults.append(fault)
    try:
        child.resume()
        token = make_token(QUICK_JOB, subject="refused")
        before = rows(both.a, "SELECT count(*) FROM jobs_job")[0][0]
        for server in (both.a, both.b):
            answer = server.upload(another(SMALL, "refused"), token)
            assert (answer.status, answer.json()["code"]) == (503, "staging_unavailable")
            assert int(answer.headers["Retry-After"]) > 0
        assert rows(both.a, "SELECT count(*) FROM jobs_job")[0][0] == before
        wait_for(lambda: "waits for the bucket" in both.a.log + both.b.log, what="patience")
    finally:
        both.proxy.faults.remove(fault)
    wait_ended(both.a, [uid, *waiting])
    for each in (uid, *waiting):
        row = job_row(both.a, each)
        assert (row["state"], row["error_message"]) == ("completed", "")
        assert row["attempts"] == 1
    # What could not be removed while the bucket was away goes when a clerk sweeps next.
    both.check_clean(within_s=90)


def credential(server: Pixerve, bucket: Bucket, endpoint: str) -> str:
    key = f"s3-{uuid.uuid4().hex[:8]}"
    to = bucket.destination(endpoint)
    body = json.dumps({"key": key, "type": "s3", "data": {**to.options, **to.secret}}).encode()
    headers = {"Content-Type": "application/json"}
    answer = server.request(
        "POST", "/v1/credentials", token=server.staff_token(), body=body, headers=headers
    )
    assert answer.status == 201, answer.body
    return key


def test_what_a_host_was_sending_others_send_when_it_is_gone(
    both: Hosts, gateway: Ceph, client: Any, proxy: FaultyProxy
) -> None:
    """Its worker one job, its clerk a file and a callback. Where hosts have names of their own only
    silence says that it is gone."""
    target = Bucket(gateway, client, ceph.bucket_name())
    client.create_bucket(Bucket=target.name)
    first, second = ({"s3": credential(both.a, target, proxy.endpoint)} for _ in range(2))
    one, two = {"jpg": {"sizes": [[64]]}}, {"jpg": {"sizes": [[64], [32]]}}
    hang = Fault("PUT", "hang")
    proxy.faults.append(hang)
    asleep = cast(both.a, workers=1).clerk
    with endpoint(closed=True) as receiver:
        asleep.suspend()
        with no_claims(both.a):
            parked = post(both.b, another(SMALL, "gone 1"), {"formats": one, "storageKeys": first})
            told = {"formats": one, "directHost": True, "completionCallback": receiver.url}
            called = post(both.b, another(SMALL, "gone 2"), told)
            wait_for(lambda: receiver.calls, what="the first call")
            wait_for(lambda: held_by_a_clerk(both.a, parked), what="the clerk's own try")
            busy = post(both.a, another(SMALL, "gone 3"), {"formats": two, "storageKeys": second})
            wait_for(lambda: job_row(both.a, busy)["stage"] == "delivering", what="a delivery")
            both.b.kill()
        killed = time.monotonic()
        asleep.resume()
        proxy.faults.remove(hang)
        receiver.gate.set()
        try:
            wait_ended(both.a, [parked, busy])
            wait_for(lambda: callback_state(both.a, called) == "sent", what="the second call")
            assert time.monotonic() - killed < 60
        finally:
            both.b.start()
        assert len({call.id for call in receiver.calls}) == 1
    for uid in (parked, busy):
        row = job_row(both.a, uid)
        assert (row["state"], row["error_message"]) == ("completed", "")
    assert row["made_by"] < row["fence"], "it was made anew"
    assert len(target.keys()) == 3
    both.check_clean(within_s=90)
    ended = post(both.b, another(SMALL, "again"), QUICK_JOB)
    wait_ended(both.b, [ended])


def held_by_a_clerk(server: Pixerve, uid: str) -> bool:
    """Whether a clerk is sending something of a job that no worker holds."""
    query = (
        "SELECT d.state, j.owner FROM jobs_delivery d JOIN jobs_rendition r ON r.id = rendition_id"
        " JOIN jobs_job j ON j.id = r.job_id WHERE j.uid = ?"
    )
    return [tuple(row) for row in rows(server, query, uid)] == [("sending", "")]


def callback_state(server: Pixerve, uid: str) -> str:
    query = "SELECT c.state FROM jobs_callback c JOIN jobs_job j ON j.id = job_id WHERE j.uid = ?"
    return str(rows(server, query, uid)[0][0])


def test_a_backup_of_all_hosts_comes_back_elsewhere(both: Hosts, tmp_path: Path) -> None:
    """Another database, another place in the bucket, another host."""
    target = tmp_path / "backup"
    done = post(both.a, another(SMALL, "backed up"), QUICK_JOB)
    wait_ended(both.a, [done])
    with uploading(both.a) as meanwhile:
        with no_claims(both.a, both.b):
            before = [post(both.b, another(SMALL, f"kept {n}"), QUICK_JOB) for n in range(3)]
            making = backing_up(both.a, target)
            keeps = both.a.data / "run" / "keep-staging"
            wait_for(lambda: keeps.exists() or making.poll() is not None, what="its beginning")
        # From here on jobs of both hosts end while it reads.
        making.communicate(timeout=60)
    assert making.returncode == 0
    env: dict[str, Any] = {
        **both.a.env,
        "PIXERVE_DATABASE_URL": both.postgres.make("restored"),
        "PIXERVE_STAGING_URL": both.a.env["PIXERVE_STAGING_URL"].replace("/one?", "/two?"),
    }
    new = Pixerve(tmp_path / "new", free_port(), env)
    restored = new.manage("restore", str(target))
    assert restored.returncode == 0, restored.stderr
    copied = {row["uid"].hex for row in rows(new, "SELECT uid FROM jobs_job")}
    assert {done, *before} <= copied
    new.start()
    try:
        ours = [uid for uid in copied if uid in {done, *before, *meanwhile}]
        wait_ended(new, ours, within_s=90)
        for uid in ours:
            [made] = rows(
                new,
                "SELECT r.* FROM jobs_rendition r JOIN jobs_job j ON j.id = job_id WHERE j.uid = ?",
                uid,
            )
            got = new.get(f"/files/{made['key']}")
            assert hashlib.sha256(got.body).hexdigest() == made["sha256"]
    finally:
        new.kill()
    wait_ended(both.a, meanwhile)
    found = both.client.list_objects_v2(Bucket=both.bucket, Prefix="pixerve/two/")["Contents"]
    names = [{"Key": each["Key"]} for each in found]
    both.client.delete_objects(Bucket=both.bucket, Delete={"Objects": names})
    both.check_clean(within_s=90)


def test_a_host_with_a_cluster_only(both: Hosts, tmp_path: Path) -> None:
    shared: dict[str, Any] = both.b.env
    with no_claims(both.a, both.b), running(tmp_path, parts=("cluster",), **shared) as third:
        uid = post(both.a, another(SMALL, "third"), QUICK_JOB)
        wait_ended(both.a, [uid])
        wait_for(lambda: completed(third, uid), what="the maker's word")
        assert third.process is not None
        parts = psutil.Process(third.process.pid).children()
        assert "cluster" in {each.cmdline()[-1] for each in parts}
        assert "clerk" not in {each.cmdline()[-1] for each in parts}
    both.check_clean()


def test_the_schedule_is_there_once(both: Hosts) -> None:
    found = rows(both.a, "SELECT name FROM django_q_schedule")
    assert [each[0] for each in found] == ["pixerve daily clean-up"]


def test_no_secret_in_any_log(both: Hosts) -> None:
    for server in (both.a, both.b):
        for name in ("SECRET_KEY", "STAGING_SECRET_KEY", "CREDENTIAL_KEYS", "WEBHOOK_SECRET"):
            assert server.env[f"PIXERVE_{name}"] not in server.log
        assert both.redis.password not in server.log
