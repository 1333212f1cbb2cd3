"""No body, array, model or connection may wait for the garbage collector, which seldom runs here.

Every sort of request is sent over real sockets while the collector is off. Then it runs once, and what it finds in
reference cycles must hold nothing large.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import gzip
import json
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest
import uvloop
from fastapi import FastAPI
from uvicorn.server import ServerState

from service import concurrency
from service.app import create_app
from service.engine.model import Model
from service.engine.version import LoadedVersion
from service.server.connection import Connection
from service.settings import Settings
from tests.service.server.test_protocol import listen
from tests.support.asgi import acall
from tests.support.bodies import MULTIPART, as_csv, as_image, as_json, as_multipart, as_npy
from tests.support.models import digits, publish

pytestmark = pytest.mark.slow

LARGE_BYTES = 4096
FORBIDDEN = (Model, LoadedVersion, Connection)
OCTETS, JSON = "application/octet-stream", "application/json"
MANY = digits(*[i % 10 for i in range(200)])  # more than a batch, and a body that is watched for a disconnect
B64 = {"b64": base64.b64encode(as_image(MANY[0])).decode()}


def v2(pixels: Any) -> bytes:
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": list(pixels.shape), "data": pixels.ravel().tolist()}
    return json.dumps({"inputs": [tensor]}).encode()


def request(path: str, body: bytes, kind: str = OCTETS, *lines: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Type: {kind}", *lines, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(head).encode() + body


INFER = "/v2/models/digits/infer"
SERVING = "/v1/models/digits:predict"
PADDED = b" " * 100_000
REQUESTS = {
    "one digit": request("/predict", MANY[:1].tobytes()),
    "many digits": request("/predict", MANY.tobytes()),
    "JSON": request("/predict", as_json(MANY), JSON),
    "past the fast path": request("/predict?", MANY[:20].tobytes()),
    "as CSV": request("/predict", as_csv(MANY), "text/csv", "Accept: text/csv"),
    "npy": request("/predict", as_npy(MANY), "application/x-npy"),
    "a picture": request("/predict", as_image(np.kron(MANY[0], np.ones((20, 20), np.uint8))), "image/png"),
    "a form": request("/predict", as_multipart([("a.png", as_image(MANY[0])), ("b", as_image(MANY[1]))]), MULTIPART),
    "a form of nonsense": request("/predict", as_multipart([("a.png", PADDED)]), MULTIPART),
    "a form without an end": request("/predict", as_multipart([("a.png", PADDED)], end=False), MULTIPART),
    "gzip": request("/predict", gzip.compress(as_json(MANY)), JSON, "Content-Encoding: gzip"),
    "no gzip": request("/predict", PADDED, JSON, "Content-Encoding: gzip"),
    "gzip that ends early": request("/predict", gzip.compress(MANY.tobytes())[:-9], OCTETS, "Content-Encoding: gzip"),
    "a coding not read": request("/predict", PADDED, OCTETS, "Content-Encoding: br"),
    "no JSON": request("/predict", PADDED + b"!", JSON),
    "wrong values": request("/predict", as_json(MANY.astype(int) + 300), JSON),
    "half a digit": request("/predict", MANY.tobytes()[:-1]),
    "a type not read": request("/predict", PADDED, "text/html"),
    "too many digits": request("/predict", bytes(784 * 5000)),
    "too large": request("/predict", bytes(5_000_000)),
    "chunks": b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (MANY.nbytes, MANY.tobytes()),
    "a malformed chunk": b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\nzz\r\n" % (MANY.nbytes, MANY.tobytes()),
    "v1": request(SERVING, as_json(MANY), JSON),
    "v1 by picture": request(SERVING, json.dumps({"instances": [B64] * 5, "x": " " * 70_000}).encode(), JSON),
    "v1 no JSON": request(SERVING, PADDED + b"!", JSON),
    "v1 of another model": request("/v1/models/nothing:predict", as_json(MANY), JSON),
    "v1 classify": request("/v1/models/digits:classify", json.dumps({"examples": []}).encode() + PADDED, JSON),
    "v1 regress": request("/v1/models/digits:regress", PADDED, JSON),
    "v2": request(INFER, v2(MANY), JSON),
    "v2 no JSON": request(INFER, PADDED + b"!", JSON),
    "v2 of another model": request("/v2/models/nothing/infer", v2(MANY), JSON),
    "v2 of a wrong shape": request(INFER, v2(MANY.reshape(-1)), JSON),
    "feedback": request("/feedback", b'{"request_id": "a", "row": 1, "label": 1}' + PADDED, JSON),
    "feedback that is none": request("/feedback", b'{"a": 1}' + PADDED, JSON),
    "nowhere": request("/nowhere", PADDED),
    "another method": request("/health/live", PADDED),
    "an admin call": request("/models/digits/rollback", PADDED),
    "no target": request("http://x", PADDED),
    "pages": b"".join(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in (b"/", b"/metrics", b"/models", b"/v2")),
}


async def answered(port: int, data: bytes, cut: float = 1, reset: bool = False) -> None:
    """Send this share of a request, and read what is answered until there is nothing for a while; or reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data[: int(cut * len(data))])
    if not reset:
        writer.write_eof()
        with suppress(ConnectionError):  # reset, where the rest of a refused body is not read
            await reader.read()
    else:
        await asyncio.sleep(0.002)
        if connection := writer.get_extra_info("socket"):  # unless it is refused and over
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def every_request(app: FastAPI) -> None:
    """Alone and pipelined, whole and cut, answered and abandoned; over sockets, and for small ones through ASGI."""
    state, made = ServerState(), WeakSet[Any]()
    listener, port = await listen(app, state, made)
    for data in REQUESTS.values():
        await answered(port, data)
        await answered(port, data * 3)
        for cut in (0.5, 0.99):
            await answered(port, data, cut)
            await answered(port, data + data, cut)
        for cut in (0.3, 0.7, 1):
            await answered(port, data, cut, reset=True)
            await answered(port, data * 3, cut, reset=True)
    for body in (MANY.tobytes(), PADDED):
        gone = asyncio.Event()
        asyncio.get_running_loop().call_later(0.002, gone.set)
        for event in (None, gone):
            task = acall(app, body=[body[:9], body[9:]], headers={"Content-Type": OCTETS}, gone=event)
            await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(30):
        while state.connections or state.tasks:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
    listener.close()
    await listener.wait_closed()
    await asyncio.sleep(0.05)


def large(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return value.nbytes > LARGE_BYTES
    if isinstance(value, bytes | bytearray | memoryview):
        return len(value) > LARGE_BYTES
    return isinstance(value, FORBIDDEN)


@contextmanager
def garbage() -> Iterator[list[object]]:
    """Yields a list that holds, at the end, all that was left in cycles meanwhile."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    found: list[object] = []
    try:
        yield found
        gc.collect()
        found.extend(gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def holders(found: list[object]) -> list[str]:
    """What in these cycles is large, or holds something large."""
    told = []
    for one in found:
        if isinstance(one, FrameType) and "/tests/" in one.f_code.co_filename:
            continue  # of the clients, whose own loop leaves cycles
        if large(one):
            told.append(repr(type(one)))
        told += [f"{type(one)} {str(one)[:200]} holds {type(each)}" for each in gc.get_referents(one) if large(each)]
    return told


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.setattr(concurrency, "WAIT_S", 0.01)
    publish(tmp_path)
    limits = {"max_instances": 1000, "max_body_bytes": 4_000_000, "body_timeout_s": 1}
    return create_app(Settings(models_dir=tmp_path, feedback_path=tmp_path / "feedback.sqlite", **limits))  # type: ignore[arg-type]


def as_usual(_: FastAPI) -> None:
    pass


def queue_is_full(app: FastAPI) -> None:
    app.state.context.engine.admission.acquire(10**6)


def model_fails(app: FastAPI) -> None:
    def fails(_: Any) -> Any:
        raise RuntimeError("out of memory")

    served = app.state.context.engine.served()
    served.batcher._run = served.lecture_batcher._run = fails


def model_is_unloaded(app: FastAPI) -> None:
    app.state.context.engine.unload("digits")


def service_leaves(app: FastAPI) -> None:
    app.state.context.drain.refusing = app.state.context.drain.leaving = True


@pytest.mark.parametrize("state", [as_usual, queue_is_full, model_fails, model_is_unloaded, service_leaves])
def test_nothing_large_is_left_in_cycles(small: FastAPI, state: Callable[[FastAPI], None]) -> None:
    uvloop.run(asyncio.wait_for(every_request(small), 120))  # what is cached for good is made now
    state(small)
    with garbage() as found:
        uvloop.run(asyncio.wait_for(every_request(small), 120))
    assert not holders(found)


REFUSED = {
    "a full queue": request("/predict", bytes(784 * 1000)),
    "no JSON": request("/predict", b"[" * 800_000, JSON),
    "half a digit": request("/predict", bytes(800_001)),
    "a form of nonsense": request("/predict", as_multipart([("a.png", bytes(800_000))]), MULTIPART),
    "no gzip": request("/predict", bytes(800_000), JSON, "Content-Encoding: gzip"),
    "feedback": request("/feedback", b'{"a": 1}' + b" " * 800_000, JSON),
}


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("name", REFUSED)
def test_a_thousand_refused_bodies_leave_memory_as_it_was(small: FastAPI, name: str) -> None:
    """800 MB come in. The collector is off meanwhile."""
    queue_is_full(small)

    async def steps() -> int:
        state = ServerState()
        listener, port = await listen(small, state, WeakSet())
        for count in (50, 1000):
            before = resident_bytes()
            for _ in range(count):
                await answered(port, REFUSED[name])
        listener.close()
        return resident_bytes() - before

    gc.collect()
    gc.disable()
    try:
        grown = uvloop.run(asyncio.wait_for(steps(), 120))
    finally:
        gc.enable()
    assert grown < 50_000_000
