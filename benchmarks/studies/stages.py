"""Where the time of a one-digit request goes, stage by stage.

    .venv/bin/python -m benchmarks.studies.stages [--together 32] [--repeats 40]

Feeds requests to uvicorn's protocol in this process, as a socket would, and discards the answers: the kernel's time is
not included. `--together` connections send a request in one turn of the event loop. Each row of the fast path adds one
stage to the row before. Each figure is the best of many repetitions, on one core.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from benchmarks.harness import ceiling
from benchmarks.harness.digits import digits
from benchmarks.harness.forms import json_body, png_body, raw_body
from service.app import create_app
from service.server.exchange import Headers, Reply
from service.server.protocol import Protocol
from service.settings import Settings

TURNS = 10  # of the event loop per repetition; a figure is their mean
CONSTANT = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(ceiling.ANSWER)


class Transport(asyncio.Transport):
    """A transport that counts the answers and discards them."""

    answers = 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return False

    def write(self, data: Any) -> None:
        assert data.startswith((b"HTTP/1.1 200", b'"0', b'{"model"')), data[:200]
        self.answers += data.startswith(b"HTTP")

    def close(self) -> None: ...
    def resume_reading(self) -> None: ...
    def pause_reading(self) -> None: ...


class Stage:
    """The fast path up to one stage, followed by a constant answer.

    Stage 0 answers at once, 1 decodes the body first, 2 also runs the model in a batch.
    """

    method, url = b"POST", b"/predict"

    def __init__(self, app: Any, stage: int) -> None:
        context = app.state.context
        self._decode, self._engine, self._stage = context.decoder.decode_inline, context.engine, stage

    def take(self, headers: Headers, body: bytes, reply: Reply, peer: str) -> bool:
        if self._stage == 0:
            reply(200, CONSTANT, ceiling.ANSWER, False)
            return True
        pixels = self._decode(dict(headers)[b"content-type"].decode(), body)
        if self._stage == 1:
            reply(200, CONSTANT, ceiling.ANSWER, False)
        else:
            self._engine.sole_version().batcher.join(pixels, Answered(reply))
        return True


class Answered:
    """The future that the batcher completes; it then sends a constant answer."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def done(self) -> bool:
        return False

    def set_result(self, _: object) -> None:
        self._reply(200, CONSTANT, ceiling.ANSWER, False)

    def set_exception(self, error: Exception) -> None:
        raise error


def cases(app: Any) -> list[tuple[type, Any, Any]]:
    """What is measured, one per row: the protocol, the application, the fast path."""
    return [
        (HttpToolsProtocol, ceiling.app, None),
        (Protocol, app, Stage(app, 0)),
        (Protocol, app, Stage(app, 1)),
        (Protocol, app, Stage(app, 2)),
        (Protocol, app, app.fast_path),
        (Protocol, app, None),
    ]


ROWS = [
    "uvicorn and ASGI with a constant answer: the ceiling",
    "fast path with a constant answer",
    "+ body to pixels, validated",
    "+ batch, model and its counters",
    "+ answer as JSON, stored for feedback, metrics: the whole fast path",
    "the same request through ASGI",
]


async def microseconds(kind: type, app: Any, fast_path: Any, data: bytes, together: int, repeats: int) -> float:
    """Microseconds per request, the best of `repeats`."""
    config = uvicorn.Config(
        app, http=kind, lifespan="off", log_config=None, access_log=False, proxy_headers=False, timeout_keep_alive=75
    )
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"Tue, 24 Nov 2026 12:00:00 GMT")]
    connections: list[tuple[Callable[[bytes], None], Transport]] = []
    for _ in range(together):
        protocol, transport = kind(config, state, {}), Transport()
        protocol._fast_path = fast_path
        protocol.connection_made(transport)
        connections.append((protocol.data_received, transport))
    best, sent = float("inf"), 0
    for _ in range(repeats):
        began = time.perf_counter()
        for _ in range(TURNS):
            sent += 1
            for receive, _ in connections:
                receive(data)
            while connections[-1][1].answers < sent:  # noqa: ASYNC110 - answered within two turns of the loop
                await asyncio.sleep(0)
        best = min(best, (time.perf_counter() - began) / TURNS / together)
    for task in state.tasks:
        await task
    assert {transport.answers for _, transport in connections} == {sent}
    return best * 1e6


async def measure(together: int, repeats: int) -> list[tuple[str, list[float]]]:
    """One row per stage: its name, and microseconds for JSON, PNG and raw bytes."""
    folder = tempfile.mkdtemp()
    app: Any = create_app(Settings(feedback_path=Path(folder) / "feedback.sqlite"))
    gc.freeze()
    rows: list[tuple[str, list[float]]] = [(name, []) for name in ROWS]
    requests = [request(*encode(digits(1))) for encode in (json_body, png_body, raw_body)]
    for data in requests:
        for (_, cells), (kind, target, fast_path) in zip(rows, cases(app), strict=True):
            cells.append(await microseconds(kind, target, fast_path, data, together, repeats))
    importlib.import_module("benchmarks.studies.unobserved")  # removes both from this process
    without = [await microseconds(Protocol, app, app.fast_path, data, together, repeats) for data in requests]
    return [*rows, ("whole fast path without metrics and logs", without)]


def request(body: bytes, headers: dict[str, str]) -> bytes:
    """The bytes of a request, as wrk sends it."""
    lines = {"Host": "127.0.0.1:8000", **headers, "Content-Length": len(body)}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST /predict HTTP/1.1\r\n{head}\r\n".encode() + body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--together", type=int, default=32, help="requests in one turn of the event loop (32)")
    parser.add_argument("--repeats", type=int, default=40, help="repetitions, of which the best counts (40)")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print("| us per request, without the kernel | JSON | PNG | raw bytes |\n| --- | ---: | ---: | ---: |")
    for name, cells in uvloop.run(measure(options.together, options.repeats)):
        print(f"| {name} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")


if __name__ == "__main__":
    main()
