"""uvicorn's HTTP protocol with a fast path past ASGI, and limits on the head of a request, in bytes and in seconds.

A request that arrived whole in one packet, with none before it unanswered, is offered to the fast path first. One that
the fast path declines takes the usual way: uvicorn learns of its head only then. While the fast path owns a request, an
Exchange is the stand-in for uvicorn's cycle, so that pipelining, draining and closing work as usual.

What is refused here never becomes a request: the answer is made by hand, and says the same as problems.py would.

And no upgrades: clients that offer HTTP/2 with their first request (curl --http2, Java's) are answered in HTTP/1.1, as
RFC 9110 allows. httptools would take such a request to end with its head.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from typing import Protocol as Interface

import orjson
from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

log = logging.getLogger("service")

MOST_HEAD_BYTES = 64 * 1024
HEAD_TIMEOUT_S = 30.0
PROTOCOLS = re.compile(rb"/v[12](/|$)")  # whose errors are {"error": sentence}
NO_HTTP = 400, "This is no HTTP/1.1 request; check its method, its headers, and its Content-Length or its chunks."
TOO_LARGE = 431, f"The head of the request is over the limit of {MOST_HEAD_BYTES:,} bytes; send fewer headers."
TOO_SLOW = 408, f"The head of the request did not come within {HEAD_TIMEOUT_S:g} seconds; send it again."

OUR_MISTAKE = 500, "Something went wrong here, not in your request. Try again."

Rejection = tuple[int, str]
Headers = list[tuple[bytes, bytes]]  # names in lower case
Reply = Callable[[int, bytes, bytes, bool], None]  # status, lines of the head, body, whether to close behind it


class FastPath(Interface):
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
    """Stand-in for uvicorn's RequestResponseCycle while the fast path owns a request.

    A connection has one, used again and again. It knows nothing of its connection: a circle of the two would be left to
    the garbage collector, which comes rarely here.
    """

    message_event = asyncio.Event()  # set when the connection is lost; nobody waits for it
    more_body = False

    def __init__(self) -> None:
        self.response_complete = True
        self.disconnected = False
        self.keep_alive = True


class Flow(FlowControl):
    """Reads on only where no request waits behind another: who sends many, and reads no answer, is not listened to."""

    def __init__(self, transport: asyncio.Transport, waiting: deque[Any]) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()


class Protocol(HttpToolsProtocol):
    """One connection. Its limits cost nothing while heads come in one piece, as they nearly always do."""

    _in_head = False
    _progress = False  # whether a head began, or a body went on, in the packet that is parsed
    _bare_bytes = 0  # since then: of a head, of chunks' sizes and extensions, of trailers
    _timer: asyncio.TimerHandle | None = None  # of a head that comes slowly
    _idle_timer: asyncio.TimerHandle | None = None
    _idle_since = 0.0
    _held: list[bytes] | None = None  # the body of a request that the fast path may take, as far as it is parsed
    _offered = False  # an upgrade, by the request whose head has been parsed

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._fast_path: FastPath | None = getattr(self.app, "fast_path", None)
        self._exchange = Exchange()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = Flow(transport, self.pipeline)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if self._idle_timer:
            self._idle_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._progress = False
        try:
            self._feed(data)
        except HttpParserCallbackError:  # a mistake of ours
            log.exception("a request could not be handed on")
            self._reject(OUR_MISTAKE)
        except HttpParserError:
            self.send_400_response("")
        if self._held is not None and not self.transport.is_closing():  # there is more to come
            self._go_the_usual_way()
        self._bare_bytes = 0 if self._progress else self._bare_bytes + len(data)
        if self._bare_bytes > MOST_HEAD_BYTES:
            self._reject(TOO_LARGE)
        elif self._in_head and self._timer is None:
            self._arm()

    def on_message_begin(self) -> None:
        self._in_head = self._progress = True
        self.url, self.headers, self.expect_100_continue = b"", [], False  # as super() does, but for the scope

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._timer:
            self._disarm()
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._offered = True
        elif self._may_take_the_fast_path():
            self._held = []
        else:
            self._begin_cycle()

    def on_body(self, body: bytes) -> None:
        self._progress = True
        if self._held is None:
            super().on_body(body)
        else:
            self._held.append(body)

    def on_message_complete(self) -> None:
        if self._offered:
            return
        if self._held is None:
            super().on_message_complete()
        elif not self._takes_the_fast_path(b"".join(self._held)):
            self._go_the_usual_way()
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """As super() has it, with one timer for all pauses between requests, where uvicorn sets one for each."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.timeout_keep_alive, self._close_if_idle)

    def reply(self, status: int, head: bytes, body: bytes, close: bool = False) -> None:
        """Write an answer of the fast path, unless the client went away, and let the next request begin."""
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
        if self._answering() and not self.cycle.more_body:  # then there is nothing more to say
            self.cycle.keep_alive = False
            self.flow.pause_reading()
        else:
            self._reject(NO_HTTP)

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

    def _go_the_usual_way(self) -> None:
        held, self._held = self._held, None
        self._begin_cycle()
        if held:
            super().on_body(b"".join(held))

    def _begin_cycle(self) -> None:
        """What super() does at the begin of a request and at the end of its head, for those that need it."""
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)  # they are the scope's too
        super().on_headers_complete()

    # -- limits and refusals ----------------------------------------------------------------------------------------

    def _feed(self, data: bytes | memoryview) -> None:
        """Parse, and wherever the parser stops at an offer to upgrade, parse that head again without the offer."""
        while True:
            try:
                self.parser.feed_data(data)
                return
            except HttpParserUpgrade as stopped:
                if not self._offered:
                    return  # CONNECT: what comes behind it is no HTTP
                self._offered = False
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

    def _arm(self) -> None:
        self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_timed_out)

    def _head_timed_out(self) -> None:
        if self._answering():  # the rest may wait unread, behind a request that takes long
            self._arm()
        else:
            self._reject(TOO_SLOW)

    def _close_if_idle(self) -> None:
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if self._in_head or self._answering():  # the pause is over; another one begins behind the answer
            left = self.timeout_keep_alive
        if left > 0:
            self._idle_timer = self.loop.call_later(left, self._close_if_idle)
        else:
            self.timeout_keep_alive_handler()

    def _disarm(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _reject(self, rejection: Rejection) -> None:
        if not self.transport.is_closing():
            self.transport.write(_answer(*rejection, path=getattr(self, "url", b"")))
            self.transport.close()


def new_parser(protocol: HttpToolsProtocol) -> HttpRequestParser:
    """A parser such as uvicorn makes for every connection."""
    parser = HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


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
