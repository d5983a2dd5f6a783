from ipaddress import ip_address, ip_network

import pytest

from delivery.addresses import AddressPolicy, refusal
from delivery.errors import AddressRefused

REFUSED = [
    ("0.0.0.0", "unspecified"),
    ("0.1.2.3", "this network"),
    ("10.0.0.1", "private"),
    ("100.64.0.1", "shared (carrier NAT)"),
    ("100.100.100.200", "shared (carrier NAT)"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("168.63.129.16", "cloud platform"),
    ("169.254.169.254", "link-local (cloud metadata)"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.192", "protocol assignments"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "6to4 relay"),
    ("192.168.1.1", "private"),
    ("198.18.0.1", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("198.51.100.7", "documentation"),
    ("203.0.113.7", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::127.0.0.1", "loopback, IPv4-compatible"),
    ("::8.8.8.8", "reserved"),
    ("::ffff:127.0.0.1", "loopback, IPv4-mapped"),
    ("::ffff:169.254.169.254", "link-local (cloud metadata), IPv4-mapped"),
    ("::ffff:0:10.0.0.1", "reserved"),
    ("64:ff9b::10.0.0.1", "private, NAT64"),
    ("64:ff9b:1::1", "local-use NAT64"),
    ("100::1", "discard-only"),
    ("2001:0:a00:1::", "private, Teredo"),
    ("2001:0:808:808::80ff:fffe", "loopback, Teredo"),
    ("2001:0:808:808::f7f7:f7f7", "Teredo tunnel"),
    ("2001:2::1", "protocol assignments"),
    ("2001:20::1", "protocol assignments"),
    ("2001:db8::1", "documentation"),
    ("2002:7f00:1::", "loopback, 6to4"),
    ("2002:a9fe:a9fe::1", "link-local (cloud metadata), 6to4"),
    ("2002:808:808::1", "6to4 tunnel"),
    ("3fff:fff::1", "documentation"),
    ("4000::1", "reserved"),
    ("5f00::1", "segment routing"),
    ("fc00::1", "private"),
    ("fd00:ec2::254", "private"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("fec0::1", "site-local"),
    ("ff02::1", "multicast"),
]

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "198.17.255.255",
    "198.20.0.1",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2001:200::1",
    "2606:4700:4700::1111",
    "2a00:1450:4001:80e::200e",
    "3ffe::1",
]


@pytest.mark.parametrize(("address", "reason"), REFUSED)
def test_what_is_not_public_has_a_reason(address: str, reason: str) -> None:
    assert refusal(ip_address(address)) == reason


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_and_neighbours_of_refused_ranges_pass(address: str) -> None:
    assert refusal(ip_address(address)) is None
    AddressPolicy().check(ip_address(address))


def test_the_policy_names_address_and_reason() -> None:
    with pytest.raises(AddressRefused) as caught:
        AddressPolicy().check(ip_address("10.1.2.3"))
    assert caught.value.code == "address_refused"
    assert caught.value.message == "10.1.2.3 is not a public address (private)"
    assert caught.value.permanent


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "fe80::1%eth0", "8.8.8.8"])
def test_an_allowed_network_passes(address: str) -> None:
    policy = AddressPolicy([ip_network("10.0.0.0/8"), ip_network("fe80::/10")])
    policy.check(ip_address(address))


@pytest.mark.parametrize(
    "address", ["10.1.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::", "::10.0.0.1", "192.168.0.1"]
)
def test_an_allowed_network_opens_nothing_else(address: str) -> None:
    with pytest.raises(AddressRefused):
        AddressPolicy([ip_network("10.0.0.0/16")]).check(ip_address(address))
