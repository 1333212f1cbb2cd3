"""uvicorn's HTTP protocol with a limit on the head of a request, in bytes and in seconds, which httptools has not.

What is refused here never becomes a request: the answer is made by hand, and says the same as problems.py would.

And no upgrades: clients that offer HTTP/2 with their first request (curl --http2, Java's) are answered in HTTP/1.1, as
RFC 9110 allows. httptools would take such a request to end with its head.
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 1024
HEAD_PATIENCE_S = 30.0
UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:[^\r\n]*", re.IGNORECASE)
FIRST_BYTES = 4096  # of a packet, in which an offer to upgrade is looked for
PROTOCOLS = re.compile(rb"/v[12](/|$)")  # whose errors are {"error": sentence}
NO_HTTP = 400, "This is no HTTP/1.1 request; check its method, its headers, and its Content-Length or its chunks."
TOO_LARGE = 431, f"The head of the request is over the limit of {MOST_HEAD_BYTES:,} bytes; send fewer headers."
TOO_SLOW = 408, f"The head of the request did not come within {HEAD_PATIENCE_S:g} seconds; send it again."

Refusal = tuple[int, str]


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

    def send_400_response(self, msg: str) -> None:
        self._refuse(NO_HTTP)

    def _refuse(self, refusal: Refusal) -> None:
        if not self.transport.is_closing():
            self.transport.write(_answer(*refusal, path=getattr(self, "url", b"")))
            self.transport.close()


def _answer(status: int, detail: str, path: bytes) -> bytes:
    """Head and body; the path is empty where it is not known yet."""
    title = HTTPStatus(status).phrase
    if PROTOCOLS.match(path):
        document: dict[str, Any] = {"error": detail}
        kind = "application/json"
    else:
        kind = "application/problem+json"
        document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    body = orjson.dumps(document)
    head = f"HTTP/1.1 {status} {title}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
    return head.encode() + b"\r\n" + body


def _without_upgrade(data: bytes) -> bytes:
    head, end, body = data.partition(b"\r\n\r\n")
    return UPGRADE.sub(b"", head) + end + body
