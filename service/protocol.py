"""uvicorn's HTTP protocol with a limit on the head of a request, in bytes and in seconds, which httptools has not.

And no upgrades: clients that offer HTTP/2 with their first request (curl --http2, Java's) are answered in HTTP/1.1, as
RFC 9110 allows. httptools would take such a request to end with its head.
"""

from __future__ import annotations

import asyncio
import re

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 1024
HEAD_PATIENCE_S = 30.0
UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:[^\r\n]*", re.IGNORECASE)
FIRST_BYTES = 4096  # of a packet, in which an offer to upgrade is looked for
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Protocol(HttpToolsProtocol):
    """One connection. What it adds costs nothing while heads come in one piece, as they nearly always do."""

    _in_head = False
    _head_bytes = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_PATIENCE_S, self._refuse, TOO_SLOW)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        began_before = self._in_head
        if data.find(b"pgrade", 0, FIRST_BYTES) > 0 and (began_before or not self._in_body()):
            data = _without_upgrade(data)
        super().data_received(data)
        if not self._in_head:
            return
        self._head_bytes = self._head_bytes + len(data) if began_before else 0
        if self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(TOO_LARGE)
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_PATIENCE_S, self._refuse, TOO_SLOW)

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._timer:
            self._disarm()
        super().on_headers_complete()

    def _in_body(self) -> bool:
        return self.cycle is not None and self.cycle.more_body

    def _disarm(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


def _without_upgrade(data: bytes) -> bytes:
    head, end, body = data.partition(b"\r\n\r\n")
    return UPGRADE.sub(b"", head) + end + body
