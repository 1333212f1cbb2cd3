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
from typing import Any

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.access.hosts import Hosts
from service.server.connection import Connection
from service.server.exchange import Exchange, FastPath
from service.server.head import BAD_HOST, CHECKED, WRONG_HOST, check_target, head_bytes, refusal_of_codings, valid_host
from service.server.limits import HEAD_TOO_LARGE, MAX_HEAD_BYTES, MAX_HEADERS, TOO_MANY_HEADERS
from service.server.rejection import INTERNAL_ERROR, NOT_HTTP, Rejected, Rejection

log = logging.getLogger("service")

MAX_PIPELINED = 8  # requests that wait for the answers to those before them; more of the connection is not parsed yet
MAX_PIPELINED_BYTES = 2048  # parsed before it is looked at how many wait: a packet may hold thousands of requests
FOR_PROBES = (b"/health/", b"/v2/health/")  # asked by address, whatever names the service has
VERSION = b"HTTP/1."  # in the first line of each request that another one may follow


class Protocol(Connection):
    """One connection: what the parser finds, and who answers it."""

    _held: list[bytes] | None = None  # parsed parts of the body of a request that the fast path may take
    _offers_upgrade = False  # the request whose head was parsed last
    _valid_host: bytes | None = None  # the last one that was found to be valid
    _own_host: bytes | None = None  # the last one that was found to be a name of this service
    _host: bytes | None = None  # of the head that is parsed, as are the next two:
    _connection: bytes | None = None
    _refusal: Rejection | None = None

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._fast_path: FastPath | None = getattr(self.app, "fast_path", None)
        self._exchange = Exchange()
        hosts: Hosts | None = getattr(self.app, "hosts", None)
        self._hosts = None if hosts is None or hosts.any else hosts

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.server and self.server[1] == getattr(self.app, "admin_port", None):
            self._fast_path = None

    def data_received(self, data: bytes) -> None:
        if self._ending:
            if self._refused:
                self._end()
        elif self._unparsed:
            self._unparsed.append(memoryview(data))
        elif len(data) > MAX_PIPELINED_BYTES and data.count(VERSION) > 1:
            self._parse_in_pieces(memoryview(data))
        else:
            self._parse(data)

    def _parse_in_pieces(self, data: memoryview) -> None:
        """For many requests in one packet: only a few at a time are parsed and wait for their answers."""
        for at in range(0, len(data), MAX_PIPELINED_BYTES):
            if len(self.pipeline) >= MAX_PIPELINED:
                self._unparsed.insert(0, data[at:])
                self.flow.pause_reading()
                return
            self._parse(data[at : at + MAX_PIPELINED_BYTES])
            if self._ending or self.transport.is_closing():
                return

    def _parse_on(self) -> None:
        while self._unparsed and len(self.pipeline) < MAX_PIPELINED:
            if self._ending or self.transport.is_closing():
                self._unparsed.clear()
            else:
                self._parse_in_pieces(self._unparsed.pop(0))

    def _parse(self, data: bytes | memoryview) -> None:
        limits, rejection = self._limits, None
        limits.packet_bytes = len(data)
        limits.head_bytes += len(data)
        try:
            try:
                self.parser.feed_data(data)
            except HttpParserUpgrade as stopped:
                self._feed_without_offer(memoryview(data)[stopped.args[0] :])
        except HttpParserCallbackError as error:
            rejection = self._rejection_of(error)
        except HttpParserError:
            rejection = NOT_HTTP
        if self._held is not None and not self.transport.is_closing():  # the rest of its body is still to come
            self._pass_to_asgi()
        if rejection:
            self._reject(rejection)
        elif limits.head_bytes > MAX_HEAD_BYTES:
            self._reject(HEAD_TOO_LARGE)
        elif limits.in_head:
            if len(self.headers) > MAX_HEADERS:
                self._reject(TOO_MANY_HEADERS)
            elif not limits.head_since:
                self._await_head()

    def on_message_begin(self) -> None:
        limits = self._limits
        limits.in_head, limits.head_bytes, limits.first_bytes = True, 0, limits.packet_bytes
        self.url, self.headers, self.expect_100_continue = b"", [], False  # as super() does, except for the scope
        self._host = self._connection = self._refusal = None

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._limits.in_head:  # a trailer, which must not count as a header: RFC 9110, section 6.5.1
            return
        name, value = name.lower(), value.rstrip()  # blanks: section 5.5; the parser strips only those in front
        self.headers.append((name, value))
        if name in CHECKED:
            self._check(name, value)

    def on_headers_complete(self) -> None:
        limits, parser = self._limits, self.parser
        if self._host is None and parser.get_http_version() == "1.1":
            self._refusal = BAD_HOST
        if (
            limits.head_bytes + limits.first_bytes > MAX_HEAD_BYTES
            and head_bytes(self.url, self.headers) > MAX_HEAD_BYTES
        ):
            self._refusal = HEAD_TOO_LARGE
        elif len(self.headers) > MAX_HEADERS:
            self._refusal = TOO_MANY_HEADERS
        elif self._hosts and not self._refusal and self._has_foreign_host(self._hosts):
            self._refusal = WRONG_HOST
        if self._refusal:
            raise self._refusal.error()
        if self._may_take_the_fast_path():
            self._held = []
        else:
            check_target(parser.get_method(), self.url)
            if parser.should_upgrade():
                self._offers_upgrade = True
            else:
                self._begin_cycle()
        limits.in_head, limits.in_body, limits.head_since = False, True, 0.0

    def on_body(self, body: bytes) -> None:
        limits = self._limits
        limits.head_bytes = 0
        if self._held is None:
            limits.body_bytes += len(body)
            super().on_body(body)
        else:
            self._held.append(body)

    def on_message_complete(self) -> None:
        self._limits.in_body = False
        if self._offers_upgrade:
            return
        if self._held is None:
            super().on_message_complete()
        elif not self._takes_the_fast_path(b"".join(self._held)):
            self._pass_to_asgi()
            super().on_message_complete()

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

    # -- the fast path ----------------------------------------------------------------------------------------------

    def _may_take_the_fast_path(self) -> bool:
        fast_path, parser = self._fast_path, self.parser
        return (
            fast_path is not None
            and self.url == fast_path.url
            and parser.get_method() == fast_path.method
            and parser.should_keep_alive()  # HTTP/1.0 without a Connection header does not
            and (self._connection is None or parser.get_http_version() == "1.1")
            and not parser.should_upgrade()
            and not self._answering()
            and not self.flow.write_paused
        )

    def _takes_the_fast_path(self, body: bytes) -> bool:
        exchange, before = self._exchange, self.cycle
        exchange.response_complete = False
        self.cycle = exchange  # type: ignore[assignment]
        try:
            if self._fast_path.take(self.headers, body, self.reply, self._address):  # type: ignore[union-attr]
                self._held = None
                return True
        except Exception:  # a mistake of ours, before anything was promised: ASGI takes the request
            log.exception("the fast path failed")
        exchange.response_complete = True
        self.cycle = before
        return False

    def _pass_to_asgi(self) -> None:
        held, self._held = self._held, None
        self._begin_cycle()
        if held:
            self.on_body(b"".join(held))

    def _begin_cycle(self) -> None:
        """What super() does at the start of a request and at the end of its head, for requests that go to ASGI."""
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        self._limits.body_bytes = 0
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)  # in place: the scope holds the same list
        super().on_headers_complete()

    # -- heads ----------------------------------------------------------------------------------------------------

    def _check(self, name: bytes, value: bytes) -> None:
        """Note what a header of CHECKED says, and whether the head is refused for it."""
        if name == b"host":
            if self._host is not None or (value != self._valid_host and not valid_host(value)):
                self._refusal = BAD_HOST
            self._host = self._valid_host = value
        elif name == b"connection":
            self._connection = value
        elif (value := value.lower()) == b"100-continue":
            self.expect_100_continue = True
        elif name == b"transfer-encoding" and (self._refusal or value != b"chunked"):
            self._refusal = self._refusal if self._refusal is BAD_HOST else refusal_of_codings(self.headers)

    def _has_foreign_host(self, hosts: Hosts) -> bool:
        """Whether the head names a service that this one is not. A head of HTTP/1.0 may name none."""
        host = self._host
        if host is None or host == self._own_host or self.url.startswith(FOR_PROBES):
            return False
        if not hosts.allow(host):
            return True
        self._own_host = host
        return False

    def _feed_without_offer(self, rest: memoryview) -> None:
        """The parser has stopped at an offer to upgrade: parse that head again without the offer, and what follows."""
        while True:
            self._offers_upgrade = False
            head = [
                b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
            ]
            head += [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
            self.parser = new_parser(self)
            self.parser.feed_data(b"".join(head) + b"\r\n")
            try:
                self.parser.feed_data(rest)
                return
            except HttpParserUpgrade as stopped:
                rest = rest[stopped.args[0] :]

    def _rejection_of(self, error: HttpParserCallbackError) -> Rejection:
        """What one of our own callbacks raised: a refusal, or an error of ours."""
        if isinstance(error.__context__, Rejected):
            return error.__context__.rejection
        log.error("a request could not be passed on", exc_info=error)
        return INTERNAL_ERROR


def new_parser(protocol: HttpToolsProtocol) -> HttpRequestParser:
    """A parser with the same options as uvicorn's own."""
    parser = HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser
