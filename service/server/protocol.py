"""uvicorn's HTTP protocol with a fast path past ASGI, and limits on the head of a request, in bytes and in seconds.

A request that arrived whole in one packet, with no unanswered request before it, is offered to the fast path first. If
the fast path declines, uvicorn learns of its head only then. While the fast path owns a request, an Exchange is the
stand-in for uvicorn's cycle, so that pipelining, draining and closing work as usual.

Upgrades are never accepted: clients that offer HTTP/2 with their first request (curl --http2, Java's) are answered in
HTTP/1.1, as RFC 9110 section 7.8 allows. httptools alone would take such a request to end with its head.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.server.exchange import Exchange, FastPath
from service.server.limits import HEAD_TIMEOUT_S, HEAD_TOO_LARGE, HEAD_TOO_SLOW, MAX_HEAD_BYTES, Limits
from service.server.rejection import INTERNAL_ERROR, NOT_HTTP, Rejection

log = logging.getLogger("service")


class Flow(FlowControl):
    """Back-pressure: resumes reading only when no pipelined request waits."""

    def __init__(self, transport: asyncio.Transport, waiting: deque[Any]) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()


class Protocol(HttpToolsProtocol):
    """One connection. Its limits cost next to nothing while each head arrives in one packet, as nearly all do."""

    _limits: Limits
    _timer: asyncio.TimerHandle | None = None  # the only one: for slow heads and idle connections
    _held: list[bytes] | None = None  # parsed parts of the body of a request that the fast path may take
    _offers_upgrade = False  # the request whose head was parsed last

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._fast_path: FastPath | None = getattr(self.app, "fast_path", None)
        self._exchange = Exchange()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = Flow(transport, self.pipeline)
        self._limits = Limits(self.timeout_keep_alive, self.loop.time())
        self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._check_times)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        limits = self._limits
        limits.head_bytes += len(data)
        try:
            self._feed(data)
        except HttpParserCallbackError:  # an error in our own callbacks
            log.exception("a request could not be passed on")
            self._reject(INTERNAL_ERROR)
        except HttpParserError:
            self.send_400_response("")
        if self._held is not None and not self.transport.is_closing():  # the rest of its body is still to come
            self._pass_to_asgi()
        if limits.head_bytes > MAX_HEAD_BYTES:
            self._reject(HEAD_TOO_LARGE)
        elif limits.in_head and not limits.head_since:
            self._await_head()

    def on_message_begin(self) -> None:
        limits = self._limits
        limits.in_head, limits.head_bytes = True, 0
        self.url, self.headers, self.expect_100_continue = b"", [], False  # as super() does, except for the scope

    def on_headers_complete(self) -> None:
        limits = self._limits
        limits.in_head, limits.head_since = False, 0.0
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._offers_upgrade = True
        elif self._may_take_the_fast_path():
            self._held = []
        else:
            self._begin_cycle()

    def on_body(self, body: bytes) -> None:
        self._limits.head_bytes = 0
        if self._held is None:
            super().on_body(body)
        else:
            self._held.append(body)

    def on_message_complete(self) -> None:
        if self._offers_upgrade:
            return
        if self._held is None:
            super().on_message_complete()
        elif not self._takes_the_fast_path(b"".join(self._held)):
            self._pass_to_asgi()
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """As super() does it, without a new timer per request: the connection's timer reads `idle_since`."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._limits.idle_since = self.loop.time()

    def reply(self, status: int, head: bytes, body: bytes, close: bool = False) -> None:
        """Write an answer of the fast path, unless the client has disconnected, and start the next request."""
        exchange, transport = self._exchange, self.transport
        close = close or not exchange.keep_alive
        if not transport.is_closing():
            lines = [STATUS_LINE[status]]
            for name, value in self.server_state.default_headers:
                lines += (name, b": ", value, b"\r\n")
            lines += (head, b"connection: close\r\n\r\n" if close else b"\r\n", body)
            transport.write(b"".join(lines))
            if close:
                transport.close()
        exchange.response_complete = True
        self.on_response_complete()

    def send_400_response(self, msg: str) -> None:
        if self._answering() and not self.cycle.more_body:  # that answer comes first, and ends the connection
            self.cycle.keep_alive = False
            self.flow.pause_reading()
        else:
            self._reject(NOT_HTTP)

    # -- the fast path ----------------------------------------------------------------------------------------------

    def _may_take_the_fast_path(self) -> bool:
        fast_path, parser = self._fast_path, self.parser
        return (
            fast_path is not None
            and self.url == fast_path.url
            and parser.get_method() == fast_path.method
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not self._answering()
            and not self.flow.write_paused
        )

    def _takes_the_fast_path(self, body: bytes) -> bool:
        exchange, before = self._exchange, self.cycle
        exchange.response_complete = False
        self.cycle = exchange  # type: ignore[assignment]
        if self._fast_path.take(self.headers, body, self.reply):  # type: ignore[union-attr]
            self._held = None
            return True
        exchange.response_complete = True
        self.cycle = before
        return False

    def _pass_to_asgi(self) -> None:
        held, self._held = self._held, None
        self._begin_cycle()
        if held:
            super().on_body(b"".join(held))

    def _begin_cycle(self) -> None:
        """What super() does at the start of a request and at the end of its head, for requests that go to ASGI."""
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)  # in place: the scope holds the same list
        super().on_headers_complete()

    # -- parsing, limits and rejections -----------------------------------------------------------------------------

    def _feed(self, data: bytes | memoryview) -> None:
        """Parse; where the parser stops at an offer to upgrade, parse that head again without the offer."""
        while True:
            try:
                self.parser.feed_data(data)
                return
            except HttpParserUpgrade as stopped:
                if not self._offers_upgrade:
                    return  # CONNECT: what follows it is not HTTP
                self._offers_upgrade = False
                data = memoryview(data)[stopped.args[0] :]
                head = [
                    b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
                ]
                head += [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
                self.parser = new_parser(self)
                self.parser.feed_data(b"".join(head) + b"\r\n")

    def _answering(self) -> bool:
        """Whether a request before the one that is parsed, or this one, still waits for its answer."""
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        """A packet ended within a head: the rest has 30 seconds."""
        self._limits.head_since = self.loop.time()
        self._restart_timer(HEAD_TIMEOUT_S)

    def _check_times(self) -> None:
        """The timer has run down: act on a limit that is passed, or wait for the next one."""
        if self.transport.is_closing():
            return
        now = self.loop.time()
        left = self._limits.seconds_left(now, self._answering())
        if left > 0:
            self._restart_timer(left)
        elif self._limits.head_is_too_slow(now):
            self._reject(HEAD_TOO_SLOW)
        else:
            self.timeout_keep_alive_handler()

    def _restart_timer(self, seconds: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._check_times)

    def _reject(self, rejection: Rejection) -> None:
        if not self.transport.is_closing():
            self.transport.write(rejection.response(getattr(self, "url", b"")))
            self.transport.close()


def new_parser(protocol: HttpToolsProtocol) -> HttpRequestParser:
    """A parser with the same options as uvicorn's own."""
    parser = HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
