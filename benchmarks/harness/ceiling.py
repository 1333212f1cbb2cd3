"""The ceiling: an ASGI function that only reads the body and answers a constant as long as the service's answer.

BENCH_ANSWER_BYTES is that length in bytes. It is run by uvicorn with uvloop and httptools, as the service is.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]

ANSWER = b'"' + b"0" * (int(os.environ.get("BENCH_ANSWER_BYTES", "300")) - 2) + b'"'
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))],
}
BODY = {"type": "http.response.body", "body": ANSWER}


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] != "http":
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await send(START)
    await send(BODY)
