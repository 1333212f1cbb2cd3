"""What is no HTTP is refused in JSON; offers to upgrade are ignored, and their request is answered like any other."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import suppress
from io import BufferedReader
from itertools import islice
from typing import Any
from weakref import WeakSet

import pytest
import uvicorn
import uvloop
from fastapi import FastAPI
from uvicorn.server import ServerState

from service.server.limits import MAX_HEAD_BYTES
from service.server.protocol import Protocol
from tests.support.asgi import until
from tests.support.models import digit
from tests.support.server import Server

HEAD = (
    b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n%b: h2c\r\n"
    b"HTTP2-Settings: AAMAAABk\r\n"
    b"Content-Type: application/octet-stream\r\nContent-Length: 784\r\n\r\n"
)


def packets(upgrade: bytes, body: bytes, cut: str) -> list[bytes]:
    head = HEAD % upgrade
    return {
        "one packet": [head + body],
        "two packets": [head, body],
        "three": [head[:40], head[40:] + body[:9], body[9:]],
    }[cut]


@pytest.mark.parametrize("cut", ["one packet", "two packets", "three"])
@pytest.mark.parametrize("upgrade", [b"Upgrade", b"upgrade"])
def test_a_request_that_offers_http_2_is_answered_in_http_1(server: Server, upgrade: bytes, cut: str) -> None:
    body = bytearray(digit(3).tobytes())
    body[100:118] = b"\r\nUpgrade: body\r\n\r\n"[:18]  # what stands in the body is nobody's header
    with server.socket() as connection, connection.makefile("rb") as stream:
        for _ in range(2):  # the connection goes on
            for packet in packets(upgrade, bytes(body), cut):
                connection.sendall(packet)
                assert server.client.get("/health/live").status_code == 200  # the packet has surely arrived
            assert stream.readline().startswith(b"HTTP/1.1 200")
            size = 0
            while (line := stream.readline()) != b"\r\n":
                size = int(line.split(b":")[1]) if line.lower().startswith(b"content-length:") else size
            assert b'"digit":' in stream.read(size)


def request(body: bytes, *lines: bytes) -> bytes:
    head = [b"POST /predict HTTP/1.1", b"Host: x", b"Content-Type: application/octet-stream", *lines]
    return b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", body])


def statuses(stream: BufferedReader) -> Iterator[int]:
    """Of all answers that come, until the connection is closed."""
    while line := stream.readline():
        size = 0
        while (header := stream.readline()) != b"\r\n":
            size = int(header.split(b":")[1]) if header.lower().startswith(b"content-length:") else size
        assert len(stream.read(size)) == size
        yield int(line.split()[1])


def sent(server: Server, packets: Sequence[bytes], answers: int) -> list[int]:
    """The statuses of so many answers to these packets, each of which has arrived before the next is sent."""
    with server.socket() as connection, connection.makefile("rb") as stream:
        for packet in packets:
            connection.sendall(packet)
            assert server.client.get("/health/live").status_code == 200
        return list(islice(statuses(stream), answers))


ONE = request(digit(3).tobytes())
OFFER = request(digit(3).tobytes(), b"Connection: Upgrade", b"Upgrade: h2c")
WEBSOCKET = request(digit(3).tobytes(), b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
OFFERS = {
    "in capitals": [request(digit(3).tobytes(), b"CONNECTION: UPGRADE", b"UPGRADE: H2C"), ONE],
    "twice": [request(digit(3).tobytes(), b"Connection: upgrade", b"Upgrade: h2c", b"Upgrade: websocket"), ONE],
    "a websocket": [WEBSOCKET, ONE],
    "between others, in one packet": [ONE + OFFER + ONE],
    "many, in one packet": [OFFER * 60],
    "cut within the name": [WEBSOCKET[: WEBSOCKET.index(b"rade: w")], WEBSOCKET[WEBSOCKET.index(b"rade: w") :], ONE],
    "cut before the name": [WEBSOCKET[: WEBSOCKET.index(b"Upgrade: w")], WEBSOCKET[WEBSOCKET.index(b"Upgrade: w") :]],
    "cut within the body": [OFFER[:-300], OFFER[-300:] + OFFER[:-784], OFFER[-784:]],
}


@pytest.mark.parametrize("name", OFFERS)
def test_an_offer_to_upgrade_is_ignored_wherever_it_stands(server: Server, name: str) -> None:
    packets = OFFERS[name]
    count = b"".join(packets).count(b"POST ")
    assert sent(server, packets, count) == [200] * count


def test_heads_are_weighed_one_by_one(server: Server) -> None:
    """However many requests come in one packet, and wherever it ends."""
    packets = [ONE + ONE[:50], *[ONE[50:] + ONE * 90 + ONE[:50]] * 3, ONE[50:]]
    assert sent(server, packets, 275) == [200] * 275


@pytest.mark.parametrize("path", [b"/predict", b"/predict?"])
def test_what_came_before_a_malformed_request_is_answered(server: Server, path: bytes) -> None:
    with server.socket() as connection, connection.makefile("rb") as stream:
        connection.sendall(ONE.replace(b"/predict", path) * 3 + b"GARBAGE \0\r\n\r\n" + ONE)
        assert list(statuses(stream)) == [200, 200, 200, 400]


@pytest.mark.slow
def test_who_reads_no_answers_is_not_listened_to(server: Server) -> None:
    """And loses nothing, once he reads."""
    data, most = ONE * 200, 200_000_000
    with server.socket(receive_buffer=4096) as connection, connection.makefile("rb") as stream:
        connection.settimeout(2)
        count, part = 0, data
        while count < most:
            try:
                taken = connection.send(part)
            except TimeoutError:
                break
            count, part = count + taken, part[taken:] or data
        assert count < 30_000_000
        assert server.client.get("/health/live").status_code == 200
        connection.settimeout(30)
        whole = count // len(ONE)
        assert list(islice(statuses(stream), whole)) == [200] * whole


class ManualClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still until a test puts it forward; after a minute of ours it gives up."""

    _now = 1000.0

    def time(self) -> float:
        return self._now

    async def forward(self, seconds: float) -> None:
        """Let time pass, and everything happen that was to happen within it."""
        self._now += seconds
        for _ in range(10):
            await asyncio.sleep(0)

    def run(self, steps: Coroutine[Any, Any, None]) -> None:
        task = self.create_task(steps)
        watchdog = threading.Timer(60, self.call_soon_threadsafe, (task.cancel,))
        watchdog.start()
        try:
            self.run_until_complete(task)
        finally:
            watchdog.cancel()
            self.close()


async def listen(
    app: FastAPI, state: ServerState, made: WeakSet[Protocol], quiet_s: int = 5
) -> tuple[asyncio.Server, int]:
    """Our protocol on a port of its own, in this process."""
    config = uvicorn.Config(app, http=Protocol, lifespan="off", log_config=None, timeout_keep_alive=quiet_s)
    config.load()

    def connected() -> Protocol:
        protocol = Protocol(config, state, {})
        made.add(protocol)
        return protocol

    listener = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
    return listener, listener.sockets[0].getsockname()[1]


def test_a_connection_that_is_over_is_freed_at_once(app: FastAPI) -> None:
    """Without the garbage collector, which comes rarely: else the bodies of thousands of connections would pile up."""
    protocols: WeakSet[Protocol] = WeakSet()
    state = ServerState()

    async def talk(port: int, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return line

    async def steps() -> tuple[int, int, int]:
        """Connections, tasks and protocols that are left."""
        listener, port = await listen(app, state, protocols)
        for data in (ONE, OFFER, ONE.replace(b"/predict", b"/predict?"), ONE.replace(b"/predict", b"/nothing")):
            for _ in range(5):
                assert b"HTTP/1.1" in await talk(port, data)
        with suppress(TimeoutError):  # what is still there then is counted; the loop may hold the last protocol
            await until(lambda: not state.connections and not state.tasks and len(protocols) <= 1)
        listener.close()
        return len(state.connections), len(state.tasks), len(protocols)

    gc.collect()
    gc.disable()
    try:
        connections, tasks, left = uvloop.run(asyncio.wait_for(steps(), 60))
    finally:
        gc.enable()
    assert (connections, tasks) == (0, 0)
    assert left <= 1


def test_an_error_of_ours_in_the_fast_path_is_answered(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, by way of ASGI."""

    def fails(*_: Any) -> bool:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(app.fast_path, "take", fails)  # type: ignore[attr-defined]

    async def steps() -> bytes:
        listener, port = await listen(app, ServerState(), WeakSet())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ONE)
        writer.write_eof()
        received = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        listener.close()
        return received

    answers = asyncio.run(steps())
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert answers.count(b"HTTP/1.1 ") == 1


def test_an_idle_connection_is_closed_and_a_used_one_is_not(app: FastAPI) -> None:
    """After 20 seconds of quiet, not of age, and neither a slow body nor a slow head is quiet.

    The loop's clock is set by hand: how busy the machine is does not matter.
    """
    loop = ManualClockLoop()

    async def status(reader: asyncio.StreamReader) -> int:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
        return int(head.split()[1])

    async def steps() -> None:
        listener, port = await listen(app, ServerState(), WeakSet(), quiet_s=20)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for data in (ONE, ONE.replace(b"/predict", b"/predict?"), ONE, ONE, OFFER, ONE):
            writer.write(data)
            assert await status(reader) == 200
            await loop.forward(15)
        for cut in (30, len(ONE) - 30):
            writer.write(ONE[:cut])
            await loop.forward(25)  # of the 30 that a head may take
            writer.write(ONE[cut:])
            assert await status(reader) == 200
        writer.write(ONE * 50)
        assert [await status(reader) for _ in range(50)] == [200] * 50
        await loop.forward(19)
        assert not reader.at_eof()
        await loop.forward(2)
        assert await reader.read() == b""
        writer.close()
        listener.close()

    loop.run(steps())


@pytest.mark.slow
def test_a_slow_head_is_rejected_and_a_slow_answer_is_not(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """One second for a head here. The time begins with the connection, and again where a packet ends within a head."""
    for module in ("limits", "connection"):
        monkeypatch.setattr(f"service.server.{module}.HEAD_TIMEOUT_S", 1.0)

    async def steps() -> None:
        listener, port = await listen(app, ServerState(), WeakSet(), quiet_s=60)
        for sent, before in ((b"", 0), (b"GET /v2", 0), (ONE + b"POST /pre", 1), (OFFER + ONE + b"POST /pre", 2)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            began = time.monotonic()
            writer.write(sent)
            answers = (await asyncio.wait_for(reader.read(), 30)).split(b"HTTP/1.1 ")[1:]
            assert [one[:3] for one in answers] == [b"200"] * before + [b"408"]
            assert time.monotonic() - began > 0.9
            writer.close()
        listener.close()

    uvloop.run(asyncio.wait_for(steps(), 90))


def answer(server: Server, *packets: bytes) -> tuple[bytes, dict[str, str], bytes]:
    """Status line, headers and body of what is answered before the connection is closed."""
    with server.socket() as connection, connection.makefile("rb") as stream:
        if len(packets) > 1:  # the server may notice a new connection only once there are two packets on it
            connection.sendall(ONE)
            assert next(statuses(stream)) == 200
        for packet in packets:
            connection.sendall(packet)
            assert server.client.get("/health/live").status_code == 200  # the packet has surely arrived
        line, headers = stream.readline(), {}
        while (header := stream.readline()) != b"\r\n":
            name, _, value = header.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers["content-length"]))
        assert stream.read() == b""
    return line, headers, body


NO_HTTP = {
    "a length that is none": b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
    "a negative length": b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "two lengths": b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc",
    "a chunk without a size": b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a length and chunks": b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
    "a blank in a header's name": b"GET %b HTTP/1.1\r\nHo st: x\r\n\r\n",
}


@pytest.mark.parametrize("path", [b"/predict", b"/v2/models/digits/infer", b"/v1/models/digits:predict"])
@pytest.mark.parametrize("name", NO_HTTP)
def test_what_is_no_http_is_refused_in_json(server: Server, name: str, path: bytes) -> None:
    line, headers, body = answer(server, NO_HTTP[name] % path)
    assert line == b"HTTP/1.1 400 Bad Request\r\n"
    assert headers["connection"] == "close"
    check(headers, body, 400, in_protocol=path.startswith(b"/v"))


@pytest.mark.parametrize("request_line", [b"post /v2 HTTP/1.1", b"PRI * HTTP/2.0", b"hello", b"\x16\x03\x01"])
def test_what_is_no_request_line_is_refused_in_json(server: Server, request_line: bytes) -> None:
    line, headers, body = answer(server, request_line + b"\r\nHost: x\r\n\r\n")
    assert line == b"HTTP/1.1 400 Bad Request\r\n"
    check(headers, body, 400, in_protocol=headers["content-type"] == "application/json")


def test_a_head_that_is_too_long_is_refused_in_json(server: Server) -> None:
    lines = b"a: %b\r\n" % (b"x" * 1000) * (MAX_HEAD_BYTES // 2000)
    line, headers, body = answer(server, b"GET /v2 HTTP/1.1\r\nHost: x\r\n", lines, lines, lines)
    assert line == b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    check(headers, body, 431, in_protocol=True)


def check(headers: dict[str, str], body: bytes, status: int, in_protocol: bool) -> None:
    document = json.loads(body)
    if in_protocol:
        assert headers["content-type"] == "application/json"
        assert list(document) == ["error"]
    else:
        assert headers["content-type"] == "application/problem+json"
        assert document["status"] == status
    assert document.get("error", document.get("detail")).endswith(".")
