"""Who sent a request: its address, and what counts as one client where limits are per client.

A proxy's word about whom it speaks for (X-Forwarded-For) is believed only if the proxy is trusted: anybody can send it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from service.access.keys import Key
from service.settings import Settings

UNKNOWN = "-"  # the address of a client on a Unix socket
MAX_HOPS = 20  # proxies that are followed; nobody has so many
SUBNET_BITS = 64  # of IPv6: one subscriber has at least so many addresses of his own

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(slots=True)
class Client:
    """Who sent one request.

    Attributes:
        address: IPv4 or IPv6, for logs.
        name: what limits per client count: the address, its /64 in IPv6, or a key's name.
        secret: the key that was sent, not looked up yet; empty: none.
        key: the key, once it has been found to be one.
    """

    address: str
    name: str
    secret: bytes = b""
    key: Key | None = None

    @property
    def label(self) -> str:
        """For the log: the address, and the name of the key that it has shown."""
        return f"{self.address} ({self.key.name})" if self.key else self.address


class Addresses:
    """Finds the address of a client behind trusted proxies.

    Args:
        settings: `trusted_proxies`.

    Attributes:
        any_trusted: whether there are such proxies.
    """

    def __init__(self, settings: Settings) -> None:
        words = settings.trusted_proxies.split(",") if settings.trusted_proxies else []
        self._networks = [ip_network(word.strip(), strict=False) for word in words]
        self.any_trusted = bool(self._networks)

    def trust(self, address: str) -> bool:
        """Whether a proxy at this address may say for whom it speaks."""
        parsed = _parsed(address) if self.any_trusted else None
        return parsed is not None and any(parsed in network for network in self._networks)

    def of(self, peer: str, headers: Headers) -> str:
        """The address of whoever sent a request: the last one that no trusted proxy has.

        Args:
            peer: address of the connection.
            headers: names in lower case.
        """
        if not self.trust(peer):
            return peer
        hops = b",".join(value for name, value in headers if name == b"x-forwarded-for").rsplit(b",", MAX_HOPS)
        found = peer
        for hop in reversed(hops[-MAX_HOPS:]):
            address = _without_port(hop.strip().decode("latin-1"))
            if address is None:
                break
            found = address
            if not self.trust(address):
                break
        return found


@lru_cache(4096)
def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or a /64 of IPv6."""
    parsed = _parsed(address) if ":" in address else None
    if isinstance(parsed, IPv6Address):
        return f"{ip_network((int(parsed) >> SUBNET_BITS << SUBNET_BITS, SUBNET_BITS))}"
    return str(parsed) if parsed else address


def _without_port(text: str) -> str | None:
    """The address in 192.0.2.1, 192.0.2.1:80, 2001:db8::1 or [2001:db8::1]:80; None if it is none."""
    host = text[1:].partition("]")[0] if text.startswith("[") else text
    if host.count(":") == 1:
        host = host.partition(":")[0]
    parsed = _parsed(host)
    return str(parsed) if parsed else None


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
