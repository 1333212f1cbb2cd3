"""Where the time of a one-digit request goes, stage by stage: the profile behind the floors.

    python -m benchmarks.stages [--together 32]      (in .venv)

Feeds requests to uvicorn's protocol in this process, as a socket would, and throws the answers away: no kernel is in
these numbers. So many connections ask in one turn of the event loop. Each row of the fast path adds a stage to the one
before. Best of many repetitions, on one core.
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

from benchmarks import ceiling
from benchmarks.digits import digits
from benchmarks.forms import json_body, png_body, raw_body
from service.app import create_app
from service.server.exchange import Headers, Reply
from service.server.protocol import Protocol
from service.settings import Settings

REPEATS, TURNS = 40, 10
CONSTANT = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(ceiling.ANSWER)


class Transport(asyncio.Transport):
    """A socket to nowhere."""

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
    """The fast path as far as one stage, and then a constant answer."""

    method, url = b"POST", b"/predict"

    def __init__(self, app: Any, stage: int) -> None:
        self._predict, self._engine, self._stage = app.fast_path._predict, app.state.engine, stage

    def take(self, headers: Headers, body: bytes, reply: Reply) -> bool:
        if self._stage == 0:
            reply(200, CONSTANT, ceiling.ANSWER, False)
            return True
        pixels = self._predict.at_once(dict(headers)[b"content-type"].decode(), body)
        if self._stage == 1:
            reply(200, CONSTANT, ceiling.ANSWER, False)
        else:
            self._engine.sole_version().batcher.join(pixels, Answered(reply))
        return True


class Answered:
    """Whoever waits for the batch, and answers a constant."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def done(self) -> bool:
        return False

    def set_result(self, _: object) -> None:
        self._reply(200, CONSTANT, ceiling.ANSWER, False)

    def set_exception(self, error: Exception) -> None:
        raise error


def bare(app: Any) -> list[tuple[type, Any, Any]]:
    """What is measured, row by row: the protocol, the application, the fast path."""
    return [
        (HttpToolsProtocol, ceiling.app, None),
        (Protocol, app, Stage(app, 0)),
        (Protocol, app, Stage(app, 1)),
        (Protocol, app, Stage(app, 2)),
        (Protocol, app, app.fast_path),
        (Protocol, app, None),
    ]


ROWS = [
    "uvicorn and ASGI, a constant answer: the ceiling",
    "the fast path, a constant answer",
    "+ body to pixels, checked",
    "+ batch, model, its counts",
    "+ the answer as JSON, remembered and counted: all of it",
    "all of it the usual way, through ASGI",
]


async def microseconds(kind: type, app: Any, fast_path: Any, data: bytes, together: int) -> float:
    """For one request, at best."""
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
    best, asked = float("inf"), 0
    for _ in range(REPEATS):
        began = time.perf_counter()
        for _ in range(TURNS):
            asked += 1
            for receive, _ in connections:
                receive(data)
            while connections[-1][1].answers < asked:  # noqa: ASYNC110 - it is answered in the next turn or two
                await asyncio.sleep(0)
        best = min(best, (time.perf_counter() - began) / TURNS / together)
    for task in state.tasks:
        await task
    assert {transport.answers for _, transport in connections} == {asked}
    return best * 1e6


async def measure(together: int) -> list[tuple[str, list[float]]]:
    """A row a stage: microseconds for JSON, PNG and raw bytes."""
    folder = tempfile.mkdtemp()
    app: Any = create_app(Settings(feedback_path=Path(folder) / "feedback.sqlite"))
    gc.freeze()
    rows: list[tuple[str, list[float]]] = [(name, []) for name in ROWS]
    requests = [request(*encode(digits(1))) for encode in (json_body, png_body, raw_body)]
    for data in requests:
        for (_, cells), (kind, asked, lane) in zip(rows, bare(app), strict=True):
            cells.append(await microseconds(kind, asked, lane, data, together))
    importlib.import_module("benchmarks.unobserved")  # takes them out of this process, for good
    without = [await microseconds(Protocol, app, app.fast_path, data, together) for data in requests]
    return [*rows, ("all of it on the fast path, without metrics and logs", without)]


def request(body: bytes, headers: dict[str, str]) -> bytes:
    """As wrk sends it."""
    lines = {"Host": "127.0.0.1:8000", **headers, "Content-Length": len(body)}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST /predict HTTP/1.1\r\n{head}\r\n".encode() + body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--together", type=int, default=32, help="requests in one turn of the event loop (32)")
    together = parser.parse_args().together
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print("| us a request, without the kernel | JSON | PNG | raw bytes |\n| --- | ---: | ---: | ---: |")
    for name, cells in uvloop.run(measure(together)):
        print(f"| {name} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")


if __name__ == "__main__":
    main()
