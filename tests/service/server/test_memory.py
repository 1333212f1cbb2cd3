"""What requests hold is bounded, whatever is sent: bodies, what they unpack to, unread answers, requests in one packet,
connections. Each is refused or paused from outside, over sockets; clients have addresses of their own (127.0.0.0/8).
"""

from __future__ import annotations

import asyncio
import gzip
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from service import concurrency
from service.access.client import Addresses
from service.concurrency import BIG_BYTES
from service.errors import Unavailable
from service.server.budget import Budget, Lease
from service.server.connections import Connections
from service.server.limits import MAX_HEADERS
from service.server.protocol import MAX_PIPELINED
from service.settings import Settings
from tests.support.models import digits
from tests.support.server import PATIENCE_S, Server
from tests.support.waiting import until

MIB = 2**20
BUDGET = 8 * MIB
OCTETS = b"Content-Type: application/octet-stream\r\n"
ROUTES = ["/predict", "/v1/models/digits:predict", "/v2/models/digits/infer", "/v2/models/digits/versions/2/infer"]
GROWTH = 60 * MIB  # of the process, at most: the budget, its answers and what the allocator keeps


@pytest.fixture(scope="module")
def small(models_dir: Path) -> Iterator[Server]:
    """A server that may hold 8 MiB of bodies of at most 6 MiB, and one client half of it."""
    with Server(models_dir, max_body_bytes=6 * MIB, max_inflight_bytes=BUDGET) as running:
        yield running


def connect(server: Server, client: int = 1, receive_buffer: int = 0) -> socket.socket:
    """A connection from 127.0.0.<client>."""
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(PATIENCE_S)
    connection.bind((f"127.0.0.{client}", 0))
    connection.connect(("127.0.0.1", server.port))
    return connection


def head(path: str, size: int, more: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\n%b%bContent-Length: %d\r\n\r\n" % (
        path.encode(),
        OCTETS,
        more,
        size,
    )


def ask(server: Server, data: bytes, client: int = 1) -> tuple[int, bytes]:
    """The status and the head of the first answer that is no interim one."""
    with connect(server, client) as connection:
        connection.sendall(data)
        return first_answer(connection)


def first_answer(connection: socket.socket) -> tuple[int, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        data = connection.recv(2**16)
        assert data, "closed without an answer"
        received += data
    return int(received[9:12]), received.partition(b"\r\n\r\n")[0].lower()


def memory(server: Server) -> int:
    return psutil.Process(server.process.pid).memory_info().rss


# -- the budget -------------------------------------------------------------------------------------------------------


def test_a_lease_grows_within_the_budget_and_gives_all_back() -> None:
    budget = Budget(1000 * BIG_BYTES)
    one, other = Lease(budget, "a"), Lease(budget, "b")
    one.hold(BIG_BYTES)
    assert budget.used == 0  # small ones are free
    one.hold(500 * BIG_BYTES)
    one.hold(400 * BIG_BYTES)  # it never shrinks by itself
    other.hold(500 * BIG_BYTES)
    assert budget.used == 1000 * BIG_BYTES
    for lease in (one, other, Lease(budget, "c")):
        with pytest.raises(Exception, match="DIGITS_MAX_INFLIGHT_BYTES"):
            lease.hold(lease.size + 2 * BIG_BYTES)
    one.close()
    other.close()
    one.close()
    assert budget.used == 0


def test_half_of_it_for_one_client_but_one_request_of_any_size() -> None:
    budget = Budget(1000 * BIG_BYTES)
    first, second, other = Lease(budget, "a"), Lease(budget, "a"), Lease(budget, "b")
    first.hold(700 * BIG_BYTES)
    with pytest.raises(Exception, match="Try again"):
        second.hold(2 * BIG_BYTES)
    other.hold(300 * BIG_BYTES)
    first.close()
    second.hold(500 * BIG_BYTES)


def test_who_may_wait_gets_what_others_give_back() -> None:
    budget = Budget(1000 * BIG_BYTES)
    one, other = Lease(budget, "a"), Lease(budget, "b")
    one.hold(900 * BIG_BYTES)

    async def wait() -> None:
        waiting = asyncio.ensure_future(other.take(400 * BIG_BYTES))
        await asyncio.sleep(0)
        assert not waiting.done()
        one.set(700 * BIG_BYTES)  # not enough
        await asyncio.sleep(0)
        assert not waiting.done()
        one.close()
        await waiting

    asyncio.run(wait())
    assert budget.used == other.size == 400 * BIG_BYTES


@pytest.mark.parametrize("limit", ["WAIT_S", "MAX_WAITING"])
def test_nobody_waits_for_ever_or_behind_too_many(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, limit, 0)
    budget = Budget(1000 * BIG_BYTES)
    Lease(budget, "a").hold(1000 * BIG_BYTES)
    with pytest.raises(Unavailable, match="DIGITS_MAX_INFLIGHT_BYTES"):
        asyncio.run(Lease(budget, "b").take(2 * BIG_BYTES))
    assert budget.used == 1000 * BIG_BYTES


@pytest.mark.slow
def test_asking_again_at_once_costs_nobody_the_answers(small: Server) -> None:
    """Four times as many requests as there is memory for, from clients that know no pause: most are answered."""
    body = gzip.compress(bytes(5 * MIB // 784 * 784))
    data = head("/predict", len(body), b"Content-Encoding: gzip\r\n") + body
    with ThreadPoolExecutor(8) as pool:
        statuses = [status for status, _ in pool.map(lambda i: ask(small, data, 1 + i % 8), range(24))]
    assert set(statuses) <= {200, 503}
    assert statuses.count(503) < statuses.count(200)


@pytest.mark.parametrize("path", ROUTES)
def test_over_the_budget_is_refused_at_the_head(small: Server, path: str) -> None:
    with connect(small, 1) as slow, connect(small, 2) as another:
        slow.sendall(head(path, 5 * MIB) + bytes(200))
        assert refused_again(small, path, 1)
        another.sendall(head(path, 3 * MIB) + bytes(200))
        for expect in (b"", b"Expect: 100-continue\r\n"):
            status, answer = ask(small, head(path, 2 * MIB, expect), client=3)  # no byte of its body was sent
            assert status == 503
            assert b"retry-after: 1" in answer
        assert ask(small, head("/predict", 784) + digits(3).tobytes(), client=3)[0] == 200  # small ones pass
    until(lambda: not refused_again(small, path, 3))


def refused_again(server: Server, path: str, client: int) -> bool:
    with connect(server, client) as connection:
        connection.sendall(head(path, 5 * MIB, b"Expect: 100-continue\r\n"))
        return first_answer(connection)[0] == 503


@pytest.mark.parametrize("path", ROUTES)
def test_chunks_count_as_they_come(small: Server, path: str) -> None:
    chunked = b"POST %b HTTP/1.1\r\nHost: localhost\r\n%bTransfer-Encoding: chunked\r\n\r\n" % (path.encode(), OCTETS)
    piece = b"40000\r\n%b\r\n" % bytes(2**18)
    with connect(small, 1) as slow, connect(small, 2) as another:
        slow.sendall(head(path, 5 * MIB) + bytes(200))
        assert refused_again(small, path, 1)
        another.sendall(chunked)
        with suppress(OSError):
            for _ in range(20):
                another.sendall(piece)
        assert first_answer(another)[0] == 503


@pytest.mark.slow
@pytest.mark.parametrize("path", ROUTES)
def test_what_unpacks_counts_too(models_dir: Path, path: str) -> None:
    """40 bodies of 6 kB that would unpack to 240 MiB at once."""
    with Server(models_dir, max_body_bytes=6 * MIB, max_inflight_bytes=BUDGET) as server:
        body = gzip.compress(bytes(6 * MIB - 784))
        data = head(path, len(body), b"Content-Encoding: gzip\r\n") + body
        before = memory(server)
        with ThreadPoolExecutor(40) as pool:
            running = [pool.submit(ask, server, data, 1 + i % 20) for i in range(80)]
            most = before
            while not all(each.done() for each in running):
                most = max(most, memory(server))
                time.sleep(0.01)
        assert {each.result()[0] for each in running} <= {503, 200, 400, 413}
        assert most - before < GROWTH


@pytest.mark.slow
def test_unread_answers_count(models_dir: Path) -> None:
    body = bytes(784 * 50_000)  # their answer has 9 MB, more than the kernel takes
    limits = {"max_body_bytes": 40 * MIB, "max_instances": 50_000, "write_timeout_s": 5}
    with (
        Server(models_dir, max_inflight_bytes=5 * MIB, **limits) as server,
        connect(server, 1, receive_buffer=4096) as deaf,
    ):
        deaf.sendall(head("/predict", len(body)) + body)
        until(lambda: "50000" in server.client.get("/metrics").text)  # it is answered
        assert refused_again(server, "/predict", 3)
        until(lambda: not refused_again(server, "/predict", 3))  # dropped in the end


@pytest.mark.slow
def test_who_never_reads_does_not_hold_up_the_end(models_dir: Path) -> None:
    body = bytes(784 * 20_000)
    with Server(models_dir, max_body_bytes=20 * MIB) as server, ExitStack() as open_ones:
        for data in (head("/predict", len(body)) + body, (head("/predict", 784) + bytes(784)) * 20_000):
            connection = open_ones.enter_context(connect(server, 1, receive_buffer=4096))
            threading.Thread(target=send, args=(connection, data), daemon=True).start()
        time.sleep(2)
        code, log = server.stop(signal.SIGTERM)
    assert code == 0, log
    assert "cut short" not in log


def send(connection: socket.socket, data: bytes) -> None:
    with suppress(OSError):
        connection.sendall(data)


# -- many requests in one packet --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_requests_in_one_packet_wait_unparsed(models_dir: Path) -> None:
    """100 connections with 228 kB of requests each, whose answers nobody reads, take no memory for each request."""
    with Server(models_dir) as server, ExitStack() as open_ones:
        data = b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n" * 6500
        before = memory(server)
        for _ in range(100):
            connection = open_ones.enter_context(connect(server, receive_buffer=4096))
            connection.setblocking(False)
            with suppress(BlockingIOError):
                connection.send(data)
        for _ in range(20):
            assert server.client.get("/health/live").status_code == 200
            assert memory(server) - before < 2 * GROWTH
            time.sleep(0.05)


@pytest.mark.parametrize("count", [MAX_PIPELINED, MAX_PIPELINED + 2, 500])
@pytest.mark.parametrize("half_close", [False, True])
def test_each_of_them_is_answered_in_order(server: Server, count: int, half_close: bool) -> None:
    one = b"%b HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: n%d\r\n\r\n"
    targets = [b"GET /health/live", b"GET /x", b"HEAD /model"]
    data = b"".join(one % (targets[i % 3], i) for i in range(count))
    data += head("/predict", 784, b"Connection: close\r\n") + digits(7).tobytes()
    received = b""
    with connect(server) as connection:
        connection.sendall(data)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        while more := connection.recv(2**16):
            received += more
    assert [int(number) for number in re.findall(rb"x-request-id: n(\d+)\r", received)] == list(range(count))
    assert received.count(b"HTTP/1.1 200") == count - len(range(1, count, 3)) + 1
    assert b'"digit":7' in received


def test_too_many_headers_are_refused(server: Server) -> None:
    lines = b"".join(b"A%d:\r\n" % i for i in range(MAX_HEADERS + 1))
    for data in (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + lines, b"GET / HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n"):
        assert ask(server, data)[0] == 431  # whether or not the head ends
    few = b"".join(lines.splitlines(keepends=True)[: MAX_HEADERS - 1])
    assert ask(server, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n" + few + b"\r\n")[0] == 200


# -- connections ------------------------------------------------------------------------------------------------------


def test_connections_are_bounded_in_all_and_per_client(models_dir: Path) -> None:
    live = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with Server(models_dir, max_connections=6, max_connections_per_client=4) as server, ExitStack() as open_ones:
        for client in (2, 2, 2, 2, 3):
            open_ones.enter_context(connect(server, client)).sendall(live)
        status, answer = ask(server, live, client=2)
        assert status == 503
        assert b"retry-after" in answer
        assert b"connection: close" in answer
        with connect(server, 3) as last:
            last.sendall(live)
            assert first_answer(last)[0] == 200
            assert ask(server, live, client=4)[0] == 503
        until(lambda: ask(server, live, client=4)[0] == 200)
        with connect(server, 2) as silent:  # one too many, and it says nothing: it gets its answer, and is closed
            assert first_answer(silent)[0] == 503
    _, log = server.stop(None)
    assert log.count(" 503 ") >= 3


def test_half_of_all_for_one_client_by_default() -> None:
    connections = Connections(10, None, Budget(1), 60, Addresses(Settings()))
    assert [connections.opened("a") for _ in range(5)] == [None] * 5
    refused = connections.opened("a")
    assert refused
    assert "This address has 5" in refused.detail
    connections.closed("a")
    assert [connections.opened("b") for _ in range(5)] == [None] * 5
    assert connections.opened("c")


def test_a_trusted_proxy_may_have_all_and_a_subnet_of_ipv6_counts_as_one() -> None:
    connections = Connections(10, 2, Budget(1), 60, Addresses(Settings(trusted_proxies="10.0.0.0/8")))
    assert [connections.opened("10.0.0.1") for _ in range(5)] == [None] * 5
    assert [connections.opened(f"2001:db8::{number}") is None for number in range(1, 4)] == [True, True, False]
    for number in range(1, 4):
        connections.closed(f"2001:db8::{number}")
    assert connections.opened("2001:db8::9") is None
