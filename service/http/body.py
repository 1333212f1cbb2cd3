"""Reads request bodies under limits of size, time and memory, and cancels work when the client disconnects."""

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
from service.http.compression import check_encoding, decompress, decompress_small, promised_bytes
from service.server.budget import Lease
from service.settings import Settings

T = TypeVar("T")


async def read_body(scope: Scope, receive: Receive, settings: Settings, max_bytes: int | None = None) -> bytes:
    """The whole body, decompressed.

    Args:
        scope, receive: of the ASGI call; scope["lease"] is the request's lease of memory, scope["timer"] the one that
            ends late answers.
        settings: limits of size and time.
        max_bytes: a lower limit for this route, if any.

    Raises:
        BadRequest: it is not compressed as its Content-Encoding says.
        PayloadTooLarge: over the limit by its Content-Length (checked before reading), as received, or decompressed.
        RequestTimeout: it did not arrive in time.
        UnsupportedEncoding: its Content-Encoding is neither gzip nor deflate.
        Unavailable: the bodies of other requests take all the memory that bodies may have, for a second already;
            nothing was read, or nothing unpacked.
        ClientDisconnect: the client disconnected before the end.
    """
    limit, encoding = min(settings.max_body_bytes, max_bytes or settings.max_body_bytes), b""
    lease: Lease = scope["lease"]
    timer: asyncio.Timeout | None = scope.get("timer")
    if timer:
        timer.reschedule(None)  # a body has a time of its own
    for name, value in scope["headers"]:
        if name == b"content-length":
            if not value.isdigit() or (size := int(value[:20])) > limit:
                raise PayloadTooLarge(_too_large(limit))
            await lease.take(size)
        elif name == b"content-encoding":
            encoding = b"%b,%b" % (encoding, value) if encoding else value
    encoding = check_encoding(encoding)
    body = await _whole(receive, settings, limit, lease)
    if timer:
        timer.reschedule(asyncio.get_running_loop().time() + settings.answer_timeout_s)
    if not encoding or not body:
        return body
    unpacked = decompress_small(body, encoding, limit)
    if unpacked is None:
        await lease.take(len(body) + min(promised_bytes(body, encoding), limit))
        unpacked = await until_disconnect(decompress(body, encoding, limit, lease.hold), receive)
    return unpacked


async def _whole(receive: Receive, settings: Settings, limit: int, lease: Lease) -> bytes:
    try:
        message = await _first(receive, settings.body_timeout_s)
        if message["type"] == "http.request" and not message.get("more_body"):  # the common case: one message holds all
            body: bytes = message.get("body", b"")
            if len(body) > limit:
                raise PayloadTooLarge(_too_large(limit))
            return body
        async with asyncio.timeout(settings.body_timeout_s):
            return await _read_rest(message, receive, limit, lease)
    except TimeoutError:
        waited = f"{settings.body_timeout_s:g} seconds"
        raise RequestTimeout(f"The body did not arrive within {waited}; send it again, or in parts.") from None


async def _first(receive: Receive, timeout_s: float) -> Message:
    """The first message. A timer is started only if it has not arrived yet: a timer costs more than the rest here."""
    waiting = receive().__await__()
    try:
        future = next(waiting)
    except StopIteration as there:
        message: Message = there.value
        return message
    async with asyncio.timeout(timeout_s):
        return await _resume(future, waiting)


@coroutine
def _resume(future: Any, waiting: Generator[Any, Any, Message]) -> Generator[Any, Any, Message]:
    yield future
    return (yield from waiting)


async def _read_rest(message: Message, receive: Receive, limit: int, lease: Lease) -> bytes:
    whole = BytesIO()  # getvalue() makes no copy; copying 20 MB would block the event loop for 10 ms
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        whole.write(message.get("body", b""))
        if whole.tell() > limit:
            raise PayloadTooLarge(_too_large(limit))
        lease.hold(whole.tell())
        if not message.get("more_body"):
            return whole.getvalue()
        message = await receive()


async def while_connected(work: Coroutine[object, object, T], receive: Receive, size: int) -> T:
    """Await `work`; if the body was big (`size` bytes), cancel it when the client disconnects."""
    return await (until_disconnect(work, receive) if size > BIG_BYTES else work)


async def until_disconnect(work: Coroutine[object, object, T], receive: Receive) -> T:
    """Await `work`; cancel it and raise ClientDisconnect when the client disconnects first."""
    task = asyncio.ensure_future(work)
    disconnect = asyncio.ensure_future(receive())  # after the whole body, only http.disconnect can follow
    try:
        await asyncio.wait([task, disconnect], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        task.cancel()
        disconnect.cancel()
        del task, disconnect  # the error of a task refers to this frame, and would live on in a cycle, body and all


def _too_large(limit: int) -> str:
    return f"The body is over the limit of {limit:,} bytes. Send fewer digits or smaller pictures per request."
