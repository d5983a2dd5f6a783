"""Google Cloud Storage against the emulator, with a token service and a door that judge keys."""

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from delivery.backends.errors import (
    AccessDenied,
    AuthFailed,
    BadOptions,
    ChecksumMismatch,
    ClockSkew,
    NoBucket,
    NoObject,
    StoreUnavailable,
)
from delivery.destination import Destination
from delivery.errors import AddressRefused, DeliveryError, TimedOut
from tests.delivery.backends.stores import PUBLIC_ONLY, destination, opened, probe_fails, put
from tests.delivery.peers import receiver
from tests.peers import gcs
from tests.peers.faults import Fault

Picture = Callable[[bytes], Path]


@dataclass(frozen=True)
class Place:
    google: gcs.Google
    bucket: str

    def destination(self, **options: Any) -> Destination:
        secret = {"service_account": options.pop("service_account", self.google.key_file())}
        guarded = options.pop("guarded", False)
        given = {"endpoint": self.google.endpoint, "bucket": self.bucket, "timeout_s": 5}
        return destination("gcs", given | options, secret, guarded=guarded)

    def keys(self) -> list[str]:
        return self.google.keys(self.bucket)

    def md5s(self) -> dict[str, str]:
        """What the store says of each object."""
        found = self.google.objects(self.bucket)
        return {each["name"]: base64.b64decode(each["md5Hash"]).hex() for each in found}


@pytest.fixture(scope="module")
def google() -> Iterator[gcs.Google]:
    with gcs.running() as found:
        yield found


@pytest.fixture
def place(google: gcs.Google) -> Iterator[Place]:
    yield Place(google, google.make_bucket())
    google.proxy.faults.clear()
    google.refusal = None


@pytest.mark.parametrize("size", [0, 100_000, 9 << 20])
def test_what_arrives_is_what_was_sent(size: int, place: Place, picture: Picture) -> None:
    """The largest goes in Google's resumable way."""
    content = os.urandom(size)
    with opened(place.destination()) as store:
        stored = put(store, "tenant/a.webp", picture(content))
        assert store.read("tenant/a.webp", size + 1) == content
        assert store.read("tenant/a.webp", 10) == content[:10]
    found = place.google.resource(place.bucket, quote("tenant/a.webp", safe=""))
    assert (found["contentType"], found["cacheControl"]) == ("image/webp", "max-age=60")
    assert base64.b64decode(found["md5Hash"]) == hashlib.md5(content).digest()  # noqa: S324
    assert stored.checksum == f"crc32c:{base64.b64decode(found['crc32c']).hex()}"
    assert stored.bytes == size
    assert stored.url == f"{place.google.endpoint}/{place.bucket}/tenant/a.webp"


def test_exists_delete_and_a_second_put(place: Place, picture: Picture) -> None:
    with opened(place.destination(prefix="p/q", cache_control="no-cache")) as store:
        assert not store.exists("a")
        put(store, "a", picture(b"1"))
        put(store, "a", picture(b"2"))
        assert store.exists("a")
        assert place.keys() == ["p/q/a"]
        assert place.google.resource(place.bucket, "p%2Fq%2Fa")["cacheControl"] == "no-cache"
        store.delete("a")
        store.delete("a")
        with pytest.raises(NoObject):
            store.read("a", 1)


def test_a_signed_url_bears_the_accounts_signature(place: Place) -> None:
    """The emulator checks none, so the test does, as Google describes it (V4, RSA-SHA256)."""
    with opened(place.destination()) as store:
        url = store.url("a b.webp", expires_s=60)
        with pytest.raises(BadOptions, match="604800"):
            store.url("a", expires_s=604801)
    assert url is not None
    parts = urlsplit(url)
    query, _, signature = parts.query.rpartition("&X-Goog-Signature=")
    given = parse_qs(query)
    assert given["X-Goog-Expires"] == ["60"]
    canonical = ["GET", parts.path, query, f"host:{parts.netloc}", "", "host", "UNSIGNED-PAYLOAD"]
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    scope = given["X-Goog-Credential"][0].partition("/")[2]
    signed = f"GOOG4-RSA-SHA256\n{given['X-Goog-Date'][0]}\n{scope}\n{digest}".encode()
    public = place.google.key.public_key()
    public.verify(bytes.fromhex(signature), signed, padding.PKCS1v15(), hashes.SHA256())


def test_a_probe_leaves_nothing(place: Place) -> None:
    with opened(place.destination()) as store:
        store.probe()
    assert place.keys() == []


def test_a_key_of_somebody_else(place: Place) -> None:
    other = place.google.key_file(private_key=gcs.pem(gcs.private_key()))
    error = probe_fails(place.destination(service_account=other), AuthFailed, "key still active")
    assert error.permanent


def test_a_wrong_clock(place: Place) -> None:
    words = (
        "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
    )
    place.google.refusal = {"error": "invalid_grant", "error_description": words}
    with opened(place.destination()) as store, pytest.raises(ClockSkew, match="NTP"):
        store.probe()


def test_no_such_bucket(place: Place) -> None:
    probe_fails(place.destination(bucket="no-such"), NoBucket, "create the bucket 'no-such'")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ("{", "not JSON"),
        ('{"type": "authorized_user"}', "service account"),
        ('{"type": "service_account", "client_email": "a"}', "lacks private_key"),
        ("bad key", "cannot be read"),
    ],
)
def test_a_key_file_that_is_none(changed: str, words: str, place: Place) -> None:
    text = place.google.key_file(private_key="SECRETLY") if changed == "bad key" else changed
    with pytest.raises(BadOptions, match=f"service_account.*{words}") as caught:
        opened(place.destination(service_account=text))
    assert "SECRETLY" not in str(caught.value)


def test_the_key_file_may_come_as_an_object(place: Place) -> None:
    as_object = json.loads(place.google.key_file())
    opened(place.destination(service_account=as_object)).close()


# --- faults


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("POST", "status", 503), StoreUnavailable),
        (Fault("POST", "status", 429), StoreUnavailable),
        (Fault("POST", "status", 403, body=b'{"error": {"message": "no"}}'), AccessDenied),
        (Fault("POST", "status", 401), AuthFailed),
        (Fault("POST", "status", 400), BadOptions),
        (Fault("POST", "hang"), TimedOut),
        (Fault("POST", "slow", pause_s=0.2), TimedOut),
        (Fault("POST", "cut_request"), StoreUnavailable),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_faults(fault: Fault, error: type[DeliveryError], place: Place, picture: Picture) -> None:
    place.google.proxy.faults.append(fault)
    with opened(place.destination(timeout_s=1)) as store, pytest.raises(error) as caught:
        put(store, "a", picture(b"12345"))
    assert type(caught.value) is error
    if fault.kind != "slow":
        assert place.keys() == []


def test_five_times_500_and_then_fine(place: Place, picture: Picture) -> None:
    place.google.proxy.faults.append(Fault("POST", "status", 500, times=5))
    with opened(place.destination()) as store:
        for _ in range(5):
            with pytest.raises(StoreUnavailable):
                put(store, "a", picture(b"1"))
        assert put(store, "a", picture(b"1")).bytes == 1


def test_a_store_that_lies(place: Place, picture: Picture) -> None:
    """It says that it has other bytes, and they do not stay."""
    lie = json.dumps({"name": "a", "size": "1", "crc32c": "AAAAAA=="}).encode()
    with opened(place.destination()) as store:
        put(store, "a", picture(b"1"))
        place.google.proxy.faults.append(Fault("POST", "status", 200, body=lie))
        with pytest.raises(ChecksumMismatch):
            put(store, "a", picture(b"2"))
    assert place.keys() == []


# --- the guard


def test_a_users_store_at_a_private_address_gets_no_byte(place: Place) -> None:
    seen = len(place.google.proxy.seen)
    to = place.destination(guarded=True)
    with opened(to, PUBLIC_ONLY) as store, pytest.raises(AddressRefused):
        store.probe()
    assert len(place.google.proxy.seen) == seen


def test_the_token_uri_of_a_users_key_file_is_guarded_too(place: Place) -> None:
    with receiver() as peer:
        key_file = place.google.key_file(token_uri=peer.url("/token"))
        options = {"bucket": place.bucket, "timeout_s": 1}
        to = destination("gcs", options, {"service_account": key_file}, guarded=True)
        with opened(to, PUBLIC_ONLY) as store, pytest.raises(AddressRefused):
            store.probe()
        assert peer.requests == []
