"""The ceiling: an ASGI function that reads the body and answers a constant of the size of our answer. Nothing else.

BENCH_ANSWER_BYTES says how many bytes; run by uvicorn with uvloop and httptools, as the service is.
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
