"""The guard between a name that a stranger chose and a connection."""

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network
from threading import Thread

import pytest

from delivery.addresses import AddressPolicy
from delivery.deadline import Deadline
from delivery.errors import AddressRefused, DnsFailed, PortRefused
from delivery.guard import checked_addresses
from delivery.webhook import Message, send
from tests.delivery.peers import closed_port
from tests.delivery.test_addresses import REFUSED

PUBLIC = AddressPolicy()
TRIES = 200


def look_up(host: str, *found: str, port: int = 443, policy: AddressPolicy = PUBLIC) -> list[str]:
    with Deadline(5) as deadline:
        return [str(ip) for ip in checked_addresses(host, port, policy, deadline, lambda *_: found)]


@pytest.mark.parametrize("bad", [address for address, _ in REFUSED])
def test_each_address_of_the_list_is_refused_alone_and_among_good_ones(bad: str) -> None:
    for found in ([bad], ["8.8.8.8", bad], [bad, "8.8.8.8"], ["2606:4700::1", bad, "1.1.1.1"]):
        with pytest.raises(AddressRefused, match=r"store\.example: "):
            look_up("store.example", *found)
    with pytest.raises(AddressRefused):
        look_up(bad)


def test_good_addresses_come_in_their_order() -> None:
    assert look_up("store.example", "8.8.8.8", "2606:4700::1") == ["8.8.8.8", "2606:4700::1"]


def test_an_address_is_not_looked_up() -> None:
    assert look_up("8.8.8.8", "10.0.0.1") == ["8.8.8.8"]
    assert look_up("2606:4700::1") == ["2606:4700::1"]


def test_ports_of_public_hosts_can_be_limited() -> None:
    policy = AddressPolicy([ip_network("10.0.0.0/8")], ports={80, 443})
    assert look_up("a.example", "8.8.8.8", policy=policy)
    assert look_up("a.example", "10.0.0.1", port=9000, policy=policy)
    for found in (["8.8.8.8"], ["10.0.0.1", "8.8.8.8"]):
        with pytest.raises(PortRefused, match="port 9000 is not allowed") as caught:
            look_up("a.example", *found, port=9000, policy=policy)
        assert caught.value.permanent


@pytest.mark.parametrize("found", [[], ["localhost"], ["8.8.8.8", "not an address"]])
def test_a_resolver_that_tells_no_address(found: list[str]) -> None:
    with pytest.raises(DnsFailed):
        look_up("a.example", *found)


# DNS rebinding


@contextmanager
def counter(address: str, port: int) -> Iterator[list[str]]:
    """Takes every connection at this address; the list grows with each request."""
    hits: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            hits.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer((address, port), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hits
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_name_that_changes_its_address_never_leads_inside() -> None:
    """127.0.0.2 plays the attacker's public host, 127.0.0.1 the service inside."""
    outside, inside = "127.0.0.2", "127.0.0.1"
    policy = AddressPolicy([ip_network(f"{outside}/32")])
    chance = random.Random(4)  # noqa: S311 - the same tries each time
    answers = itertools.chain(
        # Good when it is checked, bad whenever it is asked again …
        itertools.islice(itertools.cycle([[outside], [inside]]), TRIES),
        # … and every mixture.
        iter(lambda: [chance.choice([outside, inside]) for _ in range(chance.randint(1, 3))], None),
    )
    port = closed_port()
    with counter(inside, port) as secret, counter(outside, port) as decoy:
        told = Message("m", f"http://rebind.example:{port}/", "job.completed", b"{}", {})
        ends = [
            send(told, policy=policy, version="1", resolver=lambda *_: next(answers))
            for _ in range(TRIES * 2)
        ]
    assert secret == []
    assert len(decoy) == sum(end.ok for end in ends) >= TRIES // 2
    refused = [end.error or "" for end in ends if not end.ok]
    assert len(refused) >= TRIES // 2
    assert all(error.startswith("address_refused: ") for error in refused)


def test_the_stand_ins_are_told_apart() -> None:
    policy = AddressPolicy([ip_network("127.0.0.2/32")])
    policy.check(ip_address("127.0.0.2"))
    with pytest.raises(AddressRefused):
        policy.check(ip_address("127.0.0.1"))
