"""The same bytes are answered the same, however they are cut into packets, and whether or not the fast path takes them.

A connection of our protocol is fed directly, without sockets: random requests, good and malformed, cut at random. How
many are tried is DIGITS_FUZZ_EXAMPLES.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from service.app import create_app
from service.server.protocol import Protocol
from service.settings import Settings
from tests.support.asgi import until
from tests.support.bodies import as_json
from tests.support.models import digit, digits, publish

EXAMPLES = int(os.environ.get("DIGITS_FUZZ_EXAMPLES", "300"))
STATUS = re.compile(rb"HTTP/1\.1 (\d+) ")
# the last: said where the client's end has arrived before the answer is written
VARIES = re.compile(rb"(date|x-request-id: (?!mine\r)|connection: close)[^\r]*\r\n")

LINES = [
    b"POST /predict HTTP/1.1",
    b"POST /predict HTTP/1.1",
    b"POST /predict HTTP/1.0",
    b"POST http://x/predict HTTP/1.1",
]
LINES += [b"GET /health/live HTTP/1.1", b"HEAD /v2 HTTP/1.1", b"POST /nowhere HTTP/1.1", b"CONNECT x:1 HTTP/1.1"]
LINES += [b"GET http://x HTTP/1.1", b"OPTIONS * HTTP/1.1", b"GARBAGE", b"POST /predict HTTP/3.0"]
HEADERS = [
    b"Content-Type: application/octet-stream",
    b"Content-Type: application/json",
    b"Accept: text/csv",
    b"Accept: */* ",
]
HEADERS += [
    b"X-Request-ID: mine ",
    b"Host: y",
    b"Expect: 100-continue",
    b"Connection: close",
    b"Connection: keep-alive",
]
HEADERS += [b"Upgrade: h2c\r\nConnection: upgrade", b"Content-Encoding: gzip", b"no colon", b"Content-Length: 3"]
HEADERS += [b"Transfer-Encoding: gzip", b"X-Pad: " + b"x" * 3000, b"X-Pad: " + b"x" * 66_000]
BODIES = [
    digit(3).tobytes(),
    digits(1, 2).tobytes(),
    as_json(digits(4)),
    b"",
    b"hello",
    digits(*range(10)).tobytes() * 4,
]
FRAMINGS = ["length", "length", "length with blanks", "chunks", "chunks and trailers", "a malformed chunk", "cut short"]


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    headers = [b"Host: x"] * draw(st.sampled_from([1, 1, 1, 1, 0, 2]))
    headers += [HEADERS[0], *draw(st.lists(st.sampled_from(HEADERS[2:]), max_size=2))]
    body, framing = draw(st.sampled_from(BODIES)), draw(st.sampled_from(FRAMINGS))
    if "chunk" in framing:
        headers.append(b"Transfer-Encoding: chunked")
        half = len(body) // 2
        parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:]) if part)
        end = {"chunks": b"0\r\n\r\n", "a malformed chunk": b"zz\r\n"}.get(framing, b"0\r\nAccept: text/csv\r\n\r\n")
        body = parts + end
    else:
        headers.append(b"Content-Length: %d%b" % (len(body), b" \t" if framing == "length with blanks" else b""))
        body = body[:-3] if framing == "cut short" else body
    return b"\r\n".join([draw(st.sampled_from(LINES)), *headers, b"", body])


class Transport(asyncio.Transport):
    """Keeps what is written. Reading is never paused: all packets come."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.closing = b"", False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default


async def answers(config: uvicorn.Config, packets: list[bytes], turns: int) -> list[bytes]:
    """All answers until the connection is over, without what differs between two equal ones.

    Args:
        turns: how often the event loop turns between two packets.
    """
    state, transport = ServerState(), Transport()
    protocol = Protocol(config, state, {})
    protocol.connection_made(transport)
    for packet in packets:
        if not transport.closing:
            protocol.data_received(packet)
        for _ in range(turns):
            await asyncio.sleep(0)
    if not transport.closing and not protocol.eof_received():
        transport.close()
    await until(lambda: transport.closing)
    protocol.connection_lost(None)
    await until(lambda: not state.tasks)
    found = re.split(rb"(?=HTTP/1\.1 \d+ )", VARIES.sub(b"", transport.written))
    return [one for one in found if one and not one.startswith(b"HTTP/1.1 100 ")]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[uvicorn.Config, uvicorn.Config]:
    """The service as it is, and without its fast path."""
    root: Path = tmp_path_factory.mktemp("cuts")
    publish(root)
    apps: list[FastAPI] = [create_app(Settings(models_dir=root, body_timeout_s=5)) for _ in range(2)]
    del apps[1].fast_path  # type: ignore[attr-defined]
    configs = [uvicorn.Config(app, http=Protocol, lifespan="off", log_config=None) for app in apps]
    for config in configs:
        config.load()
    return configs[0], configs[1]


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(wanted=st.lists(requests(), min_size=1, max_size=4), data=st.data())
def test_the_same_bytes_are_answered_the_same(
    both: tuple[uvicorn.Config, uvicorn.Config], wanted: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(wanted)
    places = data.draw(st.lists(st.integers(1, max(1, len(whole) - 1)), max_size=6, unique=True).map(sorted))
    packets = [whole[start:end] for start, end in zip([0, *places], [*places, len(whole)], strict=True)]
    turns = data.draw(st.sampled_from([0, 1, 50]))

    async def steps() -> list[Any]:
        fast, usual = both
        runs = [(fast, [whole], 0), (usual, [whole], 0), (fast, packets, turns), (usual, packets, turns)]
        return [await answers(*run) for run in runs]

    first, *others = asyncio.run(steps())
    for other in others:
        assert other == first
