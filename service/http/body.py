"""Reading a request's body from its socket, under a limit, and noticing that the client went away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from io import BytesIO
from types import coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope

from service.concurrency import BIG_BYTES
from service.errors import PayloadTooLarge, RequestTimeout
from service.http.compression import check_encoding, decompress
from service.settings import Settings

T = TypeVar("T")


async def read_body(scope: Scope, receive: Receive, settings: Settings, most: int | None = None) -> bytes:
    """The whole body, decompressed.

    Args:
        scope, receive: ASGI's.
        settings: the limits.
        most: bytes, where this call takes fewer than others.

    Raises:
        BadRequest: it is compressed in another way than it says.
        PayloadTooLarge: too many bytes, by Content-Length before the first is read, as they come, or as they unpack.
        RequestTimeout: it took too long to come.
        UnsupportedEncoding: it is compressed, and neither with gzip nor with deflate.
        ClientDisconnect: the client went away before the end.
    """
    limit, encoding = min(settings.max_body_bytes, most or settings.max_body_bytes), b""
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value[:20]) > limit):
            raise PayloadTooLarge(_too_large(limit))
        if name == b"content-encoding":
            encoding = b"%b,%b" % (encoding, value) if encoding else value
    encoding = check_encoding(encoding)
    body = await _whole(receive, settings, limit)
    return await decompress(body, encoding, limit) if encoding else body


async def _whole(receive: Receive, settings: Settings, limit: int) -> bytes:
    try:
        message = await _first(receive, settings.body_timeout_s)
        if message["type"] == "http.request" and not message.get("more_body"):  # nearly always: one message is all
            body: bytes = message.get("body", b"")
            if len(body) > limit:
                raise PayloadTooLarge(_too_large(limit))
            return body
        async with asyncio.timeout(settings.body_timeout_s):
            return await _read_on(message, receive, limit)
    except TimeoutError:
        waited = f"{settings.body_timeout_s:g} seconds"
        raise RequestTimeout(f"The body did not come within {waited}; send it again, or in parts.") from None


async def _first(receive: Receive, patience_s: float) -> Message:
    """The first message; a timer only where it is not there yet, since a timer costs more than all else here."""
    waiting = receive().__await__()
    try:
        future = next(waiting)
    except StopIteration as there:
        message: Message = there.value
        return message
    async with asyncio.timeout(patience_s):
        return await _go_on(future, waiting)


@coroutine
def _go_on(future: Any, waiting: Generator[Any, Any, Message]) -> Generator[Any, Any, Message]:
    yield future
    return (yield from waiting)


async def _read_on(message: Message, receive: Receive, limit: int) -> bytes:
    whole = BytesIO()  # its getvalue() makes no copy; one of 20 MB would keep all others waiting for 10 ms
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        whole.write(message.get("body", b""))
        if whole.tell() > limit:
            raise PayloadTooLarge(_too_large(limit))
        if not message.get("more_body"):
            return whole.getvalue()
        message = await receive()


async def while_connected(work: Coroutine[object, object, T], receive: Receive, size: int) -> T:
    """Await `work`. Where the body was big, `size` bytes, cancel it if the client goes away meanwhile."""
    return await (until_gone(work, receive) if size > BIG_BYTES else work)


async def until_gone(work: Coroutine[object, object, T], receive: Receive) -> T:
    """Await `work`, and cancel it if the client goes away meanwhile: then it costs nothing more."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(receive())  # behind a whole body comes nothing but http.disconnect
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        task.cancel()
        gone.cancel()
        del task, gone  # the error of a task refers to this frame, and would live on in a cycle, body and all


def _too_large(limit: int) -> str:
    return f"The body is over the limit of {limit:,} bytes. Send fewer digits, or smaller pictures, a request."
