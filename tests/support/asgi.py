"""Calls an ASGI application in this process as a server would, and checks that it follows the rules of ASGI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def call(
    app: ASGIApp,
    method: str = "POST",
    path: str = "/predict",
    body: bytes | Sequence[bytes] = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on an event loop of its own."""
    return asyncio.run(acall(app, method, path, body, headers))


async def acall(
    app: ASGIApp,
    method: str = "POST",
    path: str = "/predict",
    body: bytes | Sequence[bytes] = b"",
    headers: Mapping[str, str] | None = None,
    gone: asyncio.Event | None = None,
    unfinished: bool = False,
) -> Answer:
    """One request. Each piece of the body is one message. Setting `gone` disconnects the client.

    The last message of an `unfinished` body never arrives.
    """
    pieces = [body] if isinstance(body, bytes) else list(body)
    raw = {name.lower().encode(): value.encode("latin-1") for name, value in (headers or {}).items()}
    if isinstance(body, bytes):
        raw.setdefault(b"content-length", b"%d" % len(body))
    target, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(target),
        "raw_path": target.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": list(raw.items()),
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    over = gone or asyncio.Event()
    sent: list[Message] = []

    async def receive() -> Message:
        if pieces:
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces) or unfinished}
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            over.set()

    await app(scope, receive, send)
    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert len(starts) == 1, f"{len(starts)} answers to one request"
    assert sent[0] is starts[0]
    assert not sent[-1].get("more_body")
    names = [name.decode() for name, _ in starts[0]["headers"]]
    assert len(names) == len(set(names)), f"a header twice: {names}"
    return Answer(
        starts[0]["status"],
        {name.decode(): value.decode("latin-1") for name, value in starts[0]["headers"]},
        b"".join(message.get("body", b"") for message in sent[1:]),
    )


async def until(true: Callable[[], object], patience_s: float = 30) -> None:
    """Run the event loop until the condition holds."""
    async with asyncio.timeout(patience_s):
        while not true():  # noqa: ASYNC110 - the code under test has no Event for this condition
            await asyncio.sleep(0)
