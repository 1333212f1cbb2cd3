"""The only binder of ports: what it hands out, and what it says where a port is not to be had."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from service.errors import DigitsError
from service.server.listener import authority, listen, reserved_for_grpc
from service.settings import Settings

HOST = "127.0.0.1"


def test_port_0_is_a_free_one_and_is_listened_on() -> None:
    with listen(HOST, 0) as [listener]:
        port = listener.getsockname()[1]
        assert port > 0
        socket.create_connection((HOST, port)).close()


@pytest.mark.parametrize("option", [socket.SO_REUSEADDR, socket.SO_REUSEPORT])
def test_a_port_in_use(option: int) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, option, 1)
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DigitsError, match=rf"{HOST}:{port} cannot be listened on .*in use.* set DIGITS_PORT\."):
            listen(HOST, port).__enter__()
        settings = Settings(host=HOST, grpc_port=port)
        with pytest.raises(DigitsError, match=rf"{HOST}:{port} cannot be .* for gRPC .*in use.* DIGITS_GRPC_PORT\."):
            reserved_for_grpc(settings).__enter__()


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "a..b", "x" * 100])
def test_a_host_that_is_not_this_machine(host: str) -> None:
    with pytest.raises(DigitsError, match=r"set DIGITS_HOST|Set DIGITS_HOST"):
        listen(host, 0).__enter__()


def resolves_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """From here on every name has these addresses, as `localhost` and names in DNS have on other machines."""

    def answer(_host: str, _port: object, type: int = 0, **_: object) -> list[tuple[Any, ...]]:
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [
            (family, type, 0, "", (address, 0, 0, 0) if family == socket.AF_INET6 else (address, 0))
            for family, address in zip(families, addresses, strict=True)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


@pytest.mark.parametrize("addresses", [("127.0.0.1", "127.0.0.2"), ("127.0.0.2", "192.0.2.1", "127.0.0.1")])
def test_every_address_of_a_name_is_listened_on_under_one_port(
    monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]
) -> None:
    """192.0.2.1 is none of this machine's, as ::1 is where IPv6 is off: the others do."""
    resolves_to(monkeypatch, *addresses)
    with listen("localhost", 0) as listeners:
        port = listeners[0].getsockname()[1]
        assert {listener.getsockname() for listener in listeners} == {("127.0.0.1", port), ("127.0.0.2", port)}
        for host in ("127.0.0.1", "127.0.0.2"):
            with socket.socket() as client:
                client.connect((host, port))
    assert all(listener.fileno() == -1 for listener in listeners)
    with reserved_for_grpc(Settings(host="localhost", grpc_port=0)) as settings:
        for host in ("127.0.0.1", "127.0.0.2"):
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind((host, settings.grpc_port))


@pytest.mark.skipif(not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists(), reason="this machine has no IPv6")
def test_localhost_of_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    resolves_to(monkeypatch, "::1", "127.0.0.1")
    with listen("localhost", 0) as listeners:
        port = listeners[0].getsockname()[1]
        with socket.socket(socket.AF_INET6) as client:
            client.connect(("::1", port))
        with socket.socket() as client:
            client.connect(("127.0.0.1", port))


def test_a_port_in_use_at_one_address_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else somebody else's answers would come under the same name."""
    with socket.create_server(("127.0.0.2", 0)) as taken:
        resolves_to(monkeypatch, "127.0.0.1", "127.0.0.2")
        port = taken.getsockname()[1]
        with pytest.raises(DigitsError, match="in use"):
            listen("localhost", port).__enter__()
        with socket.create_server(("127.0.0.1", port)):  # what could be bound is free again
            pass


def test_without_a_port_for_grpc_nothing_is_reserved() -> None:
    settings = Settings()
    with reserved_for_grpc(settings) as same:
        assert same is settings


def test_a_reserved_port_is_for_workers_and_for_nobody_else() -> None:
    with reserved_for_grpc(Settings(host=HOST, grpc_port=0)) as settings:
        address = (HOST, settings.grpc_port)
        with pytest.raises(ConnectionRefusedError):  # it is held, and not listened on
            socket.create_connection(address)
        with socket.socket() as worker, socket.socket() as other:
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            worker.bind(address)
            worker.listen()
            socket.create_connection(address).close()
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind(address)
    with listen(HOST, settings.grpc_port or 0):  # free again
        pass


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("digits", "digits:80")]
)
def test_hosts_as_urls_have_them(host: str, shown: str) -> None:
    assert authority(host, 80) == shown
