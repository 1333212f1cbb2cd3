"""Where the time of a one-digit request goes, stage by stage: the profile behind the floors.

    python -m benchmarks.stages [--together 32]      (in .venv)

Calls the service's own door in this process, without sockets, with so many requests in one turn of the event loop; each
row adds a stage to the one before. Best of many repetitions, on one core.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.digits import digits
from benchmarks.forms import json_body, png_body, raw_body
from service.app import create_app
from service.body import read_body
from service.routes.predict import Predict
from service.settings import Settings

Handler = Callable[[Any, Any, Any], Awaitable[None]]
REPEATS = 40
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
END = {"type": "http.response.body", "body": b"{}"}


def stages(predict: Predict, kind: str) -> dict[str, Handler]:
    """Handlers that do ever more of what the real one does."""

    async def constant(_: Any, __: Any, send: Any) -> None:
        await send({**START, "headers": list(START["headers"])})
        await send(END)

    async def read(scope: Any, receive: Any, send: Any) -> None:
        await read_body(scope, receive, predict._settings)
        await constant(scope, receive, send)

    async def decode(scope: Any, receive: Any, send: Any) -> None:
        await predict._decode(kind, await read_body(scope, receive, predict._settings), scope)
        await constant(scope, receive, send)

    async def run(scope: Any, receive: Any, send: Any) -> None:
        pixels = await predict._decode(kind, await read_body(scope, receive, predict._settings), scope)
        await predict._engine.predict(None, scope["request_id"], pixels)
        await constant(scope, receive, send)

    return {
        "the door: id, count, a constant answer": constant,
        "+ reading the body": read,
        "+ body to pixels, checked": decode,
        "+ batch, model, its counts": run,
        "+ the answer as JSON, remembered for feedback": predict,
    }


async def microseconds(door: Any, scope: dict[str, Any], body: bytes, together: int) -> float:
    """For one request, at best."""

    async def one() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            assert message.get("status", 200) == 200

        await door({**scope}, receive, send)

    best = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        for _ in range(10):
            await asyncio.gather(*(one() for _ in range(together)))
        best = min(best, (time.perf_counter() - began) / 10 / together)
    return best * 1e6


async def measure(together: int) -> list[tuple[str, list[float]]]:
    """A row a stage: microseconds for JSON, PNG and raw bytes."""
    folder = tempfile.mkdtemp()
    app = create_app(Settings(feedback_path=Path(folder) / "feedback.sqlite"))
    door: Any = app.build_middleware_stack()
    predict: Any = door._direct["POST", "/predict"]
    gc.freeze()
    rows: dict[str, list[float]] = {}
    for encode in (json_body, png_body, raw_body):
        body, headers = encode(digits(1))
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "POST", "path": "/predict", "headers": raw, "app": app}
        for name, handler in stages(predict, headers["Content-Type"]).items():
            door._direct = {("POST", "/predict"): handler}
            rows.setdefault(name, []).append(await microseconds(door, scope, body, together))
    return list(rows.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--together", type=int, default=32, help="requests in one turn of the event loop (32)")
    together = parser.parse_args().together
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print("| us a request, so far | JSON | PNG | raw bytes |\n| --- | ---: | ---: | ---: |")
    for name, cells in uvloop.run(measure(together)):
        print(f"| {name} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")


if __name__ == "__main__":
    main()
