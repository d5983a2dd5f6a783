"""A bucket behind a network that fails: each fault has its error, and leaves nothing stray."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from delivery.backends.base import Store
from delivery.backends.errors import (
    AccessDenied,
    AuthFailed,
    BadOptions,
    ChecksumMismatch,
    ClockSkew,
    NoBucket,
    Overtaken,
    StoreFull,
    StoreUnavailable,
    TlsRefused,
)
from delivery.backends.s3_store import MULTIPART_ABOVE
from delivery.errors import AddressRefused, DeliveryError, DnsFailed, TimedOut
from tests.delivery.backends.stores import PUBLIC_ONLY, Bucket, destination, opened, put
from tests.delivery.peers import Authority, closed_port, receiver
from tests.peers.faults import Fault, FaultyProxy

Picture = Callable[[bytes], Path]
LARGE = 11 << 20
ODD = {"ETag": '"odd"'}


@pytest.fixture
def store(bucket: Bucket, proxy: FaultyProxy) -> Any:
    with opened(bucket.destination(proxy.endpoint, timeout_s=1)) as found:
        yield found


def answer(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()


def test_five_times_500_and_then_fine(
    store: Store, bucket: Bucket, proxy: FaultyProxy, picture: Picture
) -> None:
    proxy.faults.append(Fault("PUT", "status", 500, times=5))
    for _ in range(5):
        with pytest.raises(StoreUnavailable) as caught:
            put(store, "a", picture(b"1"))
        assert not caught.value.permanent
    assert bucket.keys() == []
    put(store, "a", picture(b"1"))
    assert bucket.content("a") == b"1"
    assert len([line for line in proxy.seen if line.startswith("PUT")]) == 6, "no retries inside"


@pytest.mark.parametrize(
    "row",
    [
        (403, "AccessDenied", AccessDenied),
        (403, "", AccessDenied),
        (403, "RequestTimeTooSkewed", ClockSkew),
        (403, "SignatureDoesNotMatch", AuthFailed),
        (400, "ExpiredToken", AuthFailed),
        (404, "NoSuchBucket", NoBucket),
        (404, "", NoBucket),
        (503, "SlowDown", StoreUnavailable),
        (503, "", StoreUnavailable),
        (429, "", StoreUnavailable),
        (400, "RequestTimeout", StoreUnavailable),
        (507, "", StoreFull),
        (403, "QuotaExceeded", StoreFull),
        (501, "NotImplemented", BadOptions),
        (400, "AccessControlListNotSupported", BadOptions),
        (301, "PermanentRedirect", BadOptions),
    ],
)
def test_answers(
    row: tuple[int, str, type[DeliveryError]],
    store: Store,
    bucket: Bucket,
    proxy: FaultyProxy,
    picture: Picture,
) -> None:
    status, code, error = row
    body = answer(code) if code else b""
    proxy.faults.append(Fault("PUT", "status", status, body=body, headers={"Retry-After": "7"}))
    with pytest.raises(error) as caught:
        put(store, "a", picture(b"1"))
    assert type(caught.value) is error
    if isinstance(caught.value, StoreUnavailable):
        assert caught.value.retry_after_s == 7
    assert bucket.keys() == []


def test_options_that_a_store_may_not_know_are_named(
    bucket: Bucket, proxy: FaultyProxy, picture: Picture
) -> None:
    proxy.faults.append(Fault("PUT", "status", 501, body=answer("NotImplemented")))
    to = bucket.destination(proxy.endpoint, checksum="sha256", acl="private")
    with opened(to) as store, pytest.raises(BadOptions, match=r"acl, checksum .etag needs no"):
        put(store, "a", picture(b"1"))


def test_a_store_that_hangs(
    store: Store, bucket: Bucket, proxy: FaultyProxy, picture: Picture
) -> None:
    proxy.faults.append(Fault("PUT", "hang"))
    with pytest.raises(TimedOut):
        put(store, "a", picture(b"1"))
    assert bucket.keys() == []


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("kind", ["hang", "cut_request", "wrong_body"])
def test_a_part_that_fails_leaves_no_unfinished_upload(
    kind: str, store: Store, bucket: Bucket, proxy: FaultyProxy, picture: Picture
) -> None:
    proxy.faults.append(Fault("PUT", kind, path="partNumber=2"))
    error = {"hang": TimedOut, "cut_request": StoreUnavailable, "wrong_body": ChecksumMismatch}[
        kind
    ]
    with pytest.raises(error):
        put(store, "a", picture(os.urandom(LARGE)))
    assert bucket.keys() == []
    assert bucket.unfinished() == []


def test_the_upload_of_a_killed_worker_is_aborted_before_the_next(
    store: Store, bucket: Bucket, proxy: FaultyProxy
) -> None:
    for key in ("a", "ab"):
        bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)
    store.clean("a", MULTIPART_ABOVE)
    assert proxy.seen == [], "what went in one request left nothing"
    store.clean("a", MULTIPART_ABOVE + 1)
    assert bucket.unfinished() == ["ab"], "an upload of another key is not ours"


@pytest.mark.usefixtures("small_parts")
def test_an_upload_that_is_overtaken_is_tried_again_and_spares_the_other(
    store: Store, bucket: Bucket, proxy: FaultyProxy, picture: Picture
) -> None:
    bucket.client.create_multipart_upload(Bucket=bucket.name, Key="a")
    fault = Fault("PUT", "status", 404, body=answer("NoSuchUpload"), path="partNumber=2")
    proxy.faults.append(fault)
    proxy.faults.append(Fault("DELETE", "status", 404, body=answer("NoSuchUpload")))
    with pytest.raises(Overtaken) as caught:
        put(store, "a", picture(os.urandom(LARGE)))
    assert not caught.value.permanent
    assert not [each for each in proxy.seen if each.startswith("GET")], "nothing was looked for"


def test_a_body_cut_in_the_middle(
    store: Store, bucket: Bucket, proxy: FaultyProxy, picture: Picture
) -> None:
    proxy.faults.append(Fault("PUT", "cut_request", times=1))
    with pytest.raises(StoreUnavailable):
        put(store, "a", picture(os.urandom(300_000)))
    assert bucket.keys() == []
    put(store, "a", picture(b"1"))


def test_an_answer_cut_in_the_middle(store: Store, proxy: FaultyProxy, picture: Picture) -> None:
    put(store, "a", picture(os.urandom(300_000)))
    proxy.faults.append(Fault("GET", "cut_answer"))
    with pytest.raises(StoreUnavailable):
        store.read("a", 1 << 20)
    # What counts for a put is what the store then reports.
    proxy.faults.append(Fault("PUT", "cut_answer"))
    assert put(store, "a", picture(b"2")).bytes == 1


def test_a_body_changed_on_the_way_is_refused_by_the_store(
    store: Store, bucket: Bucket, proxy: FaultyProxy, picture: Picture
) -> None:
    proxy.faults.append(Fault("PUT", "wrong_body"))
    with pytest.raises(ChecksumMismatch) as caught:
        put(store, "a", picture(b"a picture"))
    assert not caught.value.permanent
    assert bucket.keys() == []


def test_an_answer_that_has_the_checksum_is_enough(
    store: Store, proxy: FaultyProxy, picture: Picture
) -> None:
    assert put(store, "a", picture(b"1")).checksum.startswith("md5:")
    assert [line.partition(" ")[0] for line in proxy.seen] == ["PUT"]


def test_a_store_whose_answer_says_little_is_asked(
    store: Store, proxy: FaultyProxy, picture: Picture
) -> None:
    proxy.faults.append(Fault("PUT", "headers", headers=ODD))
    assert put(store, "a", picture(b"1")).checksum.startswith("md5:")
    assert [line.partition(" ")[0] for line in proxy.seen] == ["PUT", "HEAD"]


def test_a_store_with_odd_etags_is_read_back(
    store: Store, proxy: FaultyProxy, picture: Picture
) -> None:
    proxy.faults += [Fault(method, "headers", headers=ODD) for method in ("PUT", "HEAD")]
    assert put(store, "a", picture(b"1")).checksum.startswith("sha256:")


@pytest.mark.parametrize("wrong", [ODD, {"Content-Length": "2"}])
def test_what_a_store_that_lies_keeps_is_taken_back(
    wrong: dict[str, str], store: Store, bucket: Bucket, proxy: FaultyProxy, picture: Picture
) -> None:
    proxy.faults.append(Fault("PUT", "headers", headers=ODD))
    proxy.faults.append(Fault("HEAD", "headers", headers=wrong))
    proxy.faults.append(Fault("GET", "wrong_answer"))
    with pytest.raises(ChecksumMismatch):
        put(store, "a", picture(b"1"))
    assert bucket.keys() == []


def test_a_slow_store_is_waited_for(store: Store, proxy: FaultyProxy, picture: Picture) -> None:
    proxy.faults.append(Fault("PUT", "slow", pause_s=0.002))
    assert put(store, "a", picture(b"1")).bytes == 1


def test_a_store_that_drips_is_cut_off(store: Store, proxy: FaultyProxy, picture: Picture) -> None:
    """No single wait is longer than timeout_s, so only the whole can be."""
    proxy.faults.append(Fault("PUT", "slow", pause_s=0.1))
    started = time.monotonic()
    with pytest.raises(TimedOut, match="finished within 2 s"):
        put(store, "a", picture(b"1"))
    assert time.monotonic() - started < 4


# --- no store at all


def test_a_closed_port() -> None:
    with pytest.raises(StoreUnavailable, match="refused"):
        _probe(f"http://127.0.0.1:{closed_port()}")


def test_an_unknown_host() -> None:
    with pytest.raises(DnsFailed, match=r"store\.invalid"):
        _probe("http://store.invalid")


def test_a_certificate_of_nobody(tmp_path: Path) -> None:
    with receiver(Authority(tmp_path).server("localhost")) as peer:
        with pytest.raises(TlsRefused, match="certificate refused") as caught:
            _probe(f"https://localhost:{peer.port}")
        assert peer.server_names == ["localhost"]
    assert caught.value.permanent


def test_a_port_without_tls() -> None:
    with receiver() as peer, pytest.raises(TlsRefused, match="does the port speak https"):
        _probe(f"https://127.0.0.1:{peer.port}")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "0x7f.1"])
def test_a_users_store_at_a_private_address_gets_no_byte(host: str) -> None:
    with receiver() as peer:
        with pytest.raises(AddressRefused):
            _probe(f"http://{host}:{peer.port}", guarded=True)
        assert peer.requests == []


def _probe(endpoint: str, *, guarded: bool = False) -> None:
    options = {"endpoint": endpoint, "bucket": "b12", "access_key": "k", "timeout_s": 1}
    to = destination("s3", options, {"secret_key": "s"}, guarded=guarded)
    with opened(to, PUBLIC_ONLY) as store:
        store.probe()
