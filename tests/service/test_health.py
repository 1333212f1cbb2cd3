"""GET /health/live and /health/ready: who answers, with what, on what; over the socket too."""

from __future__ import annotations

from fastapi import FastAPI

from tests.service.asgi import call
from tests.service.server import Server


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


def test_live_is_answered_while_a_big_request_runs(server: Server) -> None:
    """60 MB of CSV are read, checked and run in pieces: nobody waits for all of it."""
    import threading
    import time

    body = (",".join(["10"] * 784) + "\n").encode() * 20_000
    headers = {"Content-Type": "text/csv", "Accept": "text/csv"}
    status: list[int] = []
    big = threading.Thread(
        target=lambda: status.append(server.client.post("/predict", content=body, headers=headers).status_code)
    )
    big.start()
    waits = []
    while big.is_alive():
        start = time.perf_counter()
        assert server.client.get("/health/live").status_code == 200
        waits.append(time.perf_counter() - start)
    big.join()
    assert status == [200]
    assert len(waits) > 3
    assert max(waits) < 1
