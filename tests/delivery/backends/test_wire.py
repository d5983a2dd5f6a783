"""Connections of a user's store: to checked addresses only, however its name server answers."""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from delivery.addresses import AddressPolicy
from delivery.backends.errors import StoreUnavailable
from delivery.backends.s3 import S3Options
from delivery.backends.s3_store import S3Store
from delivery.backends.wire import Wire
from delivery.errors import AddressRefused, DeliveryError
from tests.delivery.backends.stores import PUBLIC_ONLY
from tests.delivery.peers import LOOPBACK, closed_port, receiver

TRIES = 200


class Rebinding:
    """A name server that gives its answers in turn, and counts how often it is asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.asked = 0
        self._answers = answers

    def __call__(self, host: str, port: int) -> list[str]:
        found = self._answers[self.asked % len(self._answers)]
        self.asked += 1
        return found


def wired(port: int, resolver: Rebinding, policy: Any = PUBLIC_ONLY) -> S3Store:
    options = S3Options(
        bucket="b12",
        access_key_id="k",
        secret_access_key="s",  # type: ignore[arg-type]
        endpoint=f"http://store.example:{port}",
        timeout_s=1,
    )
    return S3Store(options, Wire(policy, 1, resolver))


@pytest.fixture
def inside() -> Iterator[Any]:
    with receiver() as peer:
        yield peer


def test_one_bad_address_spoils_the_name(inside: Any) -> None:
    for answers in (["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::ffff:127.0.0.1"]):
        with wired(inside.port, Rebinding(answers)) as store, pytest.raises(AddressRefused):
            store.exists("a")
    assert inside.requests == []


def test_rebinding_never_leads_inside(inside: Any) -> None:
    """A good answer for the check, and then a bad one for whoever asks again to connect."""
    resolver = Rebinding(["127.0.0.2"], ["127.0.0.1"])
    policy = AddressPolicy([ip_network("127.0.0.2/32")])
    with wired(inside.port, resolver, policy) as store:
        for number in range(TRIES):
            error = AddressRefused if number % 2 else StoreUnavailable
            with pytest.raises(error):
                store.delete("a")
    assert resolver.asked == TRIES, "one connection, one question"
    assert inside.requests == []


def test_the_name_stays_in_the_request() -> None:
    seen: list[str] = []
    with receiver() as peer:
        resolver = Rebinding(["127.0.0.1"])
        with wired(peer.port, resolver, LOOPBACK) as store:
            client = store._client
            client.meta.events.register(
                "before-send.s3", lambda request, **_: seen.append(request.url)
            )
            with pytest.raises(DeliveryError):
                store.exists("a")
        assert resolver.asked == 1
    assert seen == [f"http://store.example:{peer.port}/b12/a"]


def test_only_a_failed_connect_leads_to_the_next_address() -> None:
    with receiver() as peer:
        wire = Wire(LOOPBACK, 1, Rebinding(["127.0.0.2", "127.0.0.1"]))
        with wire.within():
            sock = wire.connect("store.example", peer.port)
            assert sock.getpeername()[0] == "127.0.0.1"
            sock.close()


def test_nobody_listens() -> None:
    wire = Wire(LOOPBACK, 1, Rebinding(["127.0.0.1"]))
    with wire.within(), pytest.raises(StoreUnavailable, match="refused"):
        wire.connect("store.example", closed_port())
