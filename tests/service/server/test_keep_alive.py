"""How long connections stay open without a request, and how often gRPC clients may ping."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.grpc_client import grpc_port
from tests.support.http2 import RawGrpc
from tests.support.server import PATIENCE_S, Server
from tests.support.waiting import until

GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
TOO_MANY_PINGS = 11  # ENHANCE_YOUR_CALM


@pytest.mark.parametrize(("keep_alive_s", "open_after_2s"), [(1, False), (30, True)])
def test_an_idle_connection(models_dir: Path, tmp_path: Path, keep_alive_s: int, open_after_2s: bool) -> None:
    with (
        Server(models_dir, keep_alive_s=keep_alive_s, feedback_path=tmp_path / "f.sqlite") as server,
        server.socket() as connection,
    ):
        connection.sendall(GET)
        received = b""
        while not received.endswith(b"}"):
            received += connection.recv(2**16)
        connection.settimeout(2)
        try:
            assert connection.recv(10) == b""
            assert not open_after_2s
        except TimeoutError:
            assert open_after_2s
        connection.settimeout(PATIENCE_S)


@pytest.mark.parametrize("setting", ["keep_alive_s", "max_grpc_connection_s"])
def test_a_grpc_connection_ends_when_it_is_idle_or_old(models_dir: Path, tmp_path: Path, setting: str) -> None:
    settings = {"grpc_port": 0, setting: 1, "feedback_path": tmp_path / "f.sqlite"}
    with Server(models_dir, **settings) as server, RawGrpc(grpc_port(server)) as client:
        until(lambda: client.receive(0.05) or client.ended is not None)


def test_grpc_connections_are_as_many_as_those_of_http_may_be(models_dir: Path, tmp_path: Path) -> None:
    settings = {"grpc_port": 0, "max_connections": 4, "feedback_path": tmp_path / "f.sqlite"}
    with Server(models_dir, **settings) as server, ExitStack() as open_ones:
        for _ in range(4):
            open_ones.enter_context(RawGrpc(grpc_port(server))).receive(0.2)
        with RawGrpc(grpc_port(server)) as another, suppress(OSError):
            another.receive(1)
        assert not another.greeted
        open_ones.close()
        until(lambda: greeted(grpc_port(server)))


def greeted(port: int) -> bool:
    """Whether a new connection is served."""
    with RawGrpc(port) as client:
        client.receive(0.5)
        return client.greeted


@pytest.mark.parametrize(("min_ping_s", "allowed"), [(0.1, True), (30, False)])
def test_pings_of_a_client(models_dir: Path, tmp_path: Path, min_ping_s: float, allowed: bool) -> None:
    settings = {"grpc_port": 0, "min_grpc_ping_s": min_ping_s, "feedback_path": tmp_path / "f.sqlite"}
    with Server(models_dir, **settings) as server, RawGrpc(grpc_port(server)) as client:
        for number in range(10):
            if client.ended is None:
                client.ping(number)
            time.sleep(0.2)
            client.receive(0.01)
        if allowed:
            until(lambda: client.receive(0.05) or client.pongs == 10)
            assert client.ended is None
        else:
            until(lambda: client.receive(0.05) or client.ended is not None)
            assert client.ended == TOO_MANY_PINGS


def test_a_silent_client_is_pinged(models_dir: Path, tmp_path: Path) -> None:
    settings = {"grpc_port": 0, "grpc_ping_s": 1, "feedback_path": tmp_path / "f.sqlite"}
    with Server(models_dir, **settings) as server, RawGrpc(grpc_port(server)) as client:
        until(lambda: client.receive(0.05) or client.pinged)
