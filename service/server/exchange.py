"""What uvicorn's protocol and the fast path agree on: how a request is offered, and what stands in for it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol as Interface

Headers = list[tuple[bytes, bytes]]  # names in lower case
Reply = Callable[[int, bytes, bytes, bool], None]  # status, lines of the head, body, whether to close the connection


class FastPath(Interface):
    """Answers one kind of request without ASGI.

    Attributes:
        method, url: only requests with these are offered to it.
    """

    @property
    def method(self) -> bytes: ...

    @property
    def url(self) -> bytes: ...

    def take(self, headers: Headers, body: bytes, reply: Reply, peer: str) -> bool:
        """Take this request of this address and call `reply` once, now or later; or return False: ASGI takes it."""
        ...


class Exchange:
    """Stand-in for uvicorn's RequestResponseCycle while the fast path owns a request.

    Each connection reuses one. It holds no reference to its connection: a reference cycle would wait for the garbage
    collector, which seldom runs here.
    """

    message_event = asyncio.Event()  # uvicorn sets it when the connection is lost; nothing waits for it
    more_body = False

    def __init__(self) -> None:
        self.response_complete = True
        self.disconnected = False
        self.keep_alive = True
