"""GET /health/live and /health/ready, in process and over the socket, also while large requests run."""

from __future__ import annotations

import asyncio
import time
from functools import cache

import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image

from tests.support.asgi import acall, call
from tests.support.bodies import MULTIPART, as_image, as_json, as_multipart, as_npy
from tests.support.server import Server


def test_live(app: FastAPI) -> None:
    answer = call(app, "GET", "/health/live")
    assert (answer.status, answer.json()) == (200, {"status": "live"})
    assert answer.headers["x-request-id"]


def test_ready_says_with_what_and_on_what(app: FastAPI) -> None:
    answer = call(app, "GET", "/health/ready")
    assert answer.status == 200
    document = answer.json()
    assert document["status"] == "ready"
    assert document["model"] == {"name": "digits", "version": 2}
    assert document["provider"] == "cpu"


def test_over_the_socket(server: Server) -> None:
    assert server.client.get("/health/live").json() == {"status": "live"}
    assert server.client.get("/health/ready").json()["status"] == "ready"


def turns_during(app: FastAPI, body: bytes, headers: dict[str, str]) -> list[float]:
    """How long the event loop was held before each of the answers of /health/live that it gave during a big request.

    In seconds of its own CPU time, which does not pass while other programs have the CPU.
    """

    async def both() -> list[float]:
        big = asyncio.ensure_future(acall(app, body=body, headers=headers))
        turns, since = [], time.thread_time()
        while not big.done():
            assert (await acall(app, "GET", "/health/live")).status == 200
            turns.append(time.thread_time() - since)
            since = time.thread_time()
            await asyncio.sleep(0.0005)  # less would keep the threads of the model waiting for Python's lock
        assert (await big).status == 200
        return turns

    return asyncio.run(both())


@cache
def big_requests() -> dict[str, tuple[bytes, dict[str, str]]]:
    large = Image.new("RGB", (4000, 3999), "white")  # 16 megapixels in half a kilobyte of WebP
    large.paste("black", (1500, 500, 2500, 3500))
    picture = as_image(large, "webp", lossless=True)
    nested = np.zeros((3000, 28, 28), int)
    return {
        "CSV": ((b",".join([b"10"] * 784) + b"\n") * 8_000, {"Content-Type": "text/csv", "Accept": "text/csv"}),
        "JSON": (as_json(nested), {"Content-Type": "application/json", "Accept": "text/csv"}),
        "npy": (as_npy(np.zeros((8000, 28, 28))), {"Content-Type": "application/x-npy", "Accept": "text/csv"}),
        "four large pictures": (as_multipart([("a.webp", picture)] * 4), {"Content-Type": MULTIPART}),
    }


BIG = ["CSV", "JSON", "npy", "four large pictures"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", BIG)
def test_live_is_answered_while_a_big_request_is_read_and_run(app: FastAPI, kind: str) -> None:
    """It is done in pieces or in a thread: nobody waits for all of it, nor, where it takes long, for half.

    Were it done in one go, two could be answered: one before it and one behind it.
    """
    turns = turns_during(app, *big_requests()[kind])
    assert len(turns) > 4
    assert max(turns) < max(0.1, sum(turns) / 2)


@pytest.mark.parametrize("path", ["/", "/health/live", "/health/ready", "/model", "/models", "/metrics", "/docs"])
def test_head_is_get_without_its_body(server: Server, path: str) -> None:
    answer = server.client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == server.client.get(path).headers["content-type"]


@pytest.mark.parametrize("path", ["/predict", "/v2/models/digits/infer", "/v1/models/digits:predict"])
def test_head_where_there_is_nothing_to_get(server: Server, path: str) -> None:
    assert server.client.head(path).status_code == 405
