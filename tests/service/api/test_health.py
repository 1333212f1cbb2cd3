"""GET /health/live and /health/ready: who answers, with what, on what; over the socket too."""

from __future__ import annotations

import threading
from time import perf_counter

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image

from tests.support.asgi import call
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


def waits_during(server: Server, body: bytes, headers: dict[str, str]) -> tuple[int, float, list[float]]:
    """Send one big request, and ask for /health/live all the while: its status, its time, and how long each waited."""
    outcome: list[tuple[int, float]] = []

    def send() -> None:
        start = perf_counter()
        status = server.client.post("/predict", content=body, headers=headers).status_code
        outcome.append((status, perf_counter() - start))

    big = threading.Thread(target=send)
    big.start()
    waits = []
    with httpx.Client(base_url=server.url, timeout=60) as client:
        while big.is_alive():
            start = perf_counter()
            assert client.get("/health/live").status_code == 200
            waits.append(perf_counter() - start)
    big.join()
    return *outcome[0], waits


def big_requests() -> dict[str, tuple[bytes, dict[str, str], int]]:
    large = Image.new("RGB", (4000, 3999), "white")  # 16 megapixels in half a kilobyte of WebP
    large.paste("black", (1500, 500, 2500, 3500))
    picture = as_image(large, "webp", lossless=True)
    nested = np.zeros((3000, 28, 28), int)
    return {
        "CSV": ((b",".join([b"10"] * 784) + b"\n") * 8_000, {"Content-Type": "text/csv", "Accept": "text/csv"}, 200),
        "JSON": (as_json(nested), {"Content-Type": "application/json", "Accept": "text/csv"}, 200),
        "npy": (as_npy(nested * 1.0), {"Content-Type": "application/x-npy", "Accept": "text/csv"}, 200),
        "four large pictures": (as_multipart([("a.webp", picture)] * 4), {"Content-Type": MULTIPART}, 200),
    }


@pytest.mark.parametrize("kind", ["CSV", "JSON", "npy", "four large pictures"])
def test_live_is_answered_while_a_big_request_is_read_and_run(server: Server, kind: str) -> None:
    """It is done in pieces or aside: nobody waits for all of it, nor, where it takes long, for half."""
    body, headers, status = big_requests()[kind]
    found, seconds, waits = waits_during(server, body, headers)
    assert found == status
    assert len(waits) > 2
    assert max(waits) < max(0.5, seconds / 2)


@pytest.mark.parametrize("path", ["/", "/health/live", "/health/ready", "/model", "/models", "/metrics", "/docs"])
def test_head_is_get_without_its_body(server: Server, path: str) -> None:
    answer = server.client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == server.client.get(path).headers["content-type"]


@pytest.mark.parametrize("path", ["/predict", "/v2/models/digits/infer", "/v1/models/digits:predict"])
def test_head_where_there_is_nothing_to_get(server: Server, path: str) -> None:
    assert server.client.head(path).status_code == 405
