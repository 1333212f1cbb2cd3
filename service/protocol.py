"""uvicorn's HTTP protocol with a fast lane past ASGI, and limits on the head of a request, in bytes and in seconds.

A request that came in one packet is offered to the lane first. What the lane does not take goes on as if nothing had
been: uvicorn hears of its head only then. While an answer of the lane is awaited, an Exchange stands where uvicorn has
its cycle, so that pipelining, draining and closing go their usual way.

What is refused here never becomes a request: the answer is made by hand, and says the same as problems.py would.

And no upgrades: clients that offer HTTP/2 with their first request (curl --http2, Java's) are answered in HTTP/1.1, as
RFC 9110 allows. httptools would take such a request to end with its head.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from typing import Protocol as Interface

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 1024
HEAD_PATIENCE_S = 30.0
UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:[^\r\n]*", re.IGNORECASE)
FIRST_BYTES = 4096  # of a packet, in which an offer to upgrade is looked for
PROTOCOLS = re.compile(rb"/v[12](/|$)")  # whose errors are {"error": sentence}
NO_HTTP = 400, "This is no HTTP/1.1 request; check its method, its headers, and its Content-Length or its chunks."
TOO_LARGE = 431, f"The head of the request is over the limit of {MOST_HEAD_BYTES:,} bytes; send fewer headers."
TOO_SLOW = 408, f"The head of the request did not come within {HEAD_PATIENCE_S:g} seconds; send it again."

Refusal = tuple[int, str]
Headers = list[tuple[bytes, bytes]]  # names in lower case
Reply = Callable[[int, Headers, bytes, bool], None]  # status, headers, body, whether to close the connection behind it


class Lane(Interface):
    """Answers one kind of request without ASGI.

    Attributes:
        method, url: of the requests that it is asked about.
    """

    @property
    def method(self) -> bytes: ...

    @property
    def url(self) -> bytes: ...

    def take(self, headers: Headers, body: bytes, reply: Reply) -> bool:
        """Take this request, and call `reply` once, now or later; or leave it to ASGI."""
        ...


class Exchange:
    """One request on the lane, in place of uvicorn's RequestResponseCycle: what uvicorn's protocol asks of that.

    A connection has one, used again and again: uvicorn begins no request before the one before it is answered.
    """

    message_event = asyncio.Event()  # set when the connection is lost; nobody waits for it
    more_body = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self.response_complete = True
        self.disconnected = False
        self.keep_alive = True  # until the server shuts down

    def reply(self, status: int, headers: Headers, body: bytes, close: bool = False) -> None:
        """Write an answer, unless the client went away, and let the next request begin."""
        protocol, transport = self._protocol, self._protocol.transport
        close = close or not self.keep_alive
        if not transport.is_closing():
            lines = [STATUS_LINE[status]]
            for name, value in (*protocol.server_state.default_headers, *headers):
                lines += (name, b": ", value, b"\r\n")
            lines += (b"connection: close\r\n\r\n" if close else b"\r\n", body)
            transport.write(b"".join(lines))
            if close:
                transport.close()
        self.response_complete = True
        protocol.on_response_complete()


class Protocol(HttpToolsProtocol):
    """One connection. Its limits cost nothing while heads come in one piece, as they nearly always do."""

    _in_head = False
    _head_bytes = 0
    _timer: asyncio.TimerHandle | None = None
    _held: bytes | None = None  # the body of a request that the lane may take, as far as it is parsed

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._lane: Lane | None = getattr(self.app, "lane", None)
        self._exchange = Exchange(self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_PATIENCE_S, self._refuse, TOO_SLOW)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        began_before = self._in_head
        end = data.find(b"\r\n\r\n", 0, FIRST_BYTES)  # of the head, behind which a body is long to look through
        if data.find(b"pgrade", 0, end if end > 0 else FIRST_BYTES) > 0 and (began_before or not self._in_body()):
            data = _without_upgrade(data)
        super().data_received(data)
        if self._held is not None and not self.transport.is_closing():  # there is more to come
            self._go_the_usual_way()
        if not self._in_head:
            return
        self._head_bytes = self._head_bytes + len(data) if began_before else 0
        if self._head_bytes > MOST_HEAD_BYTES:
            self._refuse(TOO_LARGE)
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_PATIENCE_S, self._refuse, TOO_SLOW)

    def on_message_begin(self) -> None:
        self._in_head = True
        self.url, self.headers, self.expect_100_continue = b"", [], False  # as super() does, but for the scope

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._timer:
            self._disarm()
        if self._may_take_the_lane():
            self._held = b""
        else:
            self._begin_cycle()

    def on_body(self, body: bytes) -> None:
        if self._held is None:
            super().on_body(body)
        else:
            self._held = self._held + body if self._held else body

    def on_message_complete(self) -> None:
        if self._held is None:
            super().on_message_complete()
        elif not self._takes_the_lane(self._held):
            self._go_the_usual_way()
            super().on_message_complete()

    def _may_take_the_lane(self) -> bool:
        lane, parser = self._lane, self.parser
        return (
            lane is not None
            and self.url == lane.url
            and parser.get_method() == lane.method
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
        )

    def _takes_the_lane(self, body: bytes) -> bool:
        exchange, before = self._exchange, self.cycle
        exchange.response_complete = False
        self.cycle = exchange  # type: ignore[assignment]
        if self._lane.take(self.headers, body, exchange.reply):  # type: ignore[union-attr]
            self._held = None
            return True
        exchange.response_complete = True
        self.cycle = before
        return False

    def _go_the_usual_way(self) -> None:
        held, self._held = self._held, None
        self._begin_cycle()
        if held:
            super().on_body(held)

    def _begin_cycle(self) -> None:
        """What super() does at the begin of a request and at the end of its head, for those that need it."""
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)  # they are the scope's too
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
