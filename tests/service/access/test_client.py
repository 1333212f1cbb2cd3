"""Whose request it is: the connection's address, or what trusted proxies say."""

from __future__ import annotations

import pytest

from service.access.client import MAX_HOPS, Addresses, network_of
from service.settings import Settings

PROXIES = "10.0.0.0/8, 2001:db8:1::/48,127.0.0.1"


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", [b"198.51.100.7"], "192.0.2.1"),  # anybody can send it
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", [b"198.51.100.7"], "198.51.100.7"),
        ("::ffff:10.1.2.3", [b"198.51.100.7"], "198.51.100.7"),
        ("2001:db8:1::9", [b"198.51.100.7"], "198.51.100.7"),
        ("10.1.2.3", [b"198.51.100.7:4711"], "198.51.100.7"),
        ("10.1.2.3", [b"[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.1.2.3", [b"2001:db8::7"], "2001:db8::7"),
        ("10.1.2.3", [b"203.0.113.9, 198.51.100.7"], "198.51.100.7"),  # the first one came from the client
        ("10.1.2.3", [b"203.0.113.9", b"198.51.100.7, 10.9.9.9"], "198.51.100.7"),
        ("10.1.2.3", [b"198.51.100.7, nonsense"], "10.1.2.3"),
        ("10.1.2.3", [b"198.51.100.7,, 10.9.9.9"], "10.9.9.9"),
        ("10.1.2.3", [b""], "10.1.2.3"),
        ("10.1.2.3", [b"\xff\n"], "10.1.2.3"),
        ("10.1.2.3", [b"10.2.2.2, 10.3.3.3"], "10.2.2.2"),  # nobody but proxies: the furthest
        ("10.1.2.3", [b"198.51.100.7, " + b"10.9.9.9, " * (MAX_HOPS + 5) + b"10.9.9.9"], "10.9.9.9"),
        ("-", [b"198.51.100.7"], "-"),
    ],
)
def test_the_last_address_that_no_trusted_proxy_has(peer: str, forwarded: list[bytes], address: str) -> None:
    headers = [(b"host", b"digits"), *((b"x-forwarded-for", value) for value in forwarded)]
    assert Addresses(Settings(trusted_proxies=PROXIES)).of(peer, headers) == address
    assert Addresses(Settings()).of(peer, headers) == peer


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("-", "-"),
    ],
)
def test_what_counts_as_one_client(address: str, network: str) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize("text", ["proxy", "10.0.0.0/33", "10.0.0.1,", "10.0.0.1;10.0.0.2"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no address or network"):
        Settings(trusted_proxies=text)
