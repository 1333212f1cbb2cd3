"""One HTTP connection around its requests: its timers, its end, and the answers to bytes that are no request.

A rejection waits for the answers to the requests before it. A client that has closed only its own direction gets the
answers to all that it sent whole (RFC 9112, section 9.6).
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.concurrency import BIG_BYTES
from service.server.budget import Lease
from service.server.connections import Connections
from service.server.limits import HEAD_TIMEOUT_S, HEAD_TOO_SLOW, Limits
from service.server.rejection import Rejection
from service.telemetry.request_ids import RequestIds
from service.telemetry.requests import RequestTelemetry

MIN_PROBE_S, MAX_PROBE_S = 0.005, 0.25  # how often it is looked at what became of a probe
PROBE = b"HTTP/1.1 100 Continue\r\n\r\n"  # every client of HTTP/1.1 must read past it: RFC 9110, section 15.2
UNREAD_CHECK_S = 1.0  # how often it is looked at whether a client reads its answer
UNREAD_TIMEOUT_S = 60.0  # for an application that sets no other
LOGGED_PATH_BYTES = 200
REFUSED_S = 1.0  # for which a connection that is one too many may keep silent before it is closed


class Flow(FlowControl):
    """Back-pressure: resumes reading only when no pipelined request waits."""

    def __init__(self, transport: asyncio.Transport, waiting: deque[Any], unparsed: list[memoryview]) -> None:
        super().__init__(transport)
        self._waiting = waiting
        self._unparsed = unparsed

    def resume_reading(self) -> None:
        if not self._waiting and not self._unparsed:
            super().resume_reading()


class BrokenBody:
    """In place of the event by which a handler waits for the rest of a body that turned out to be malformed."""

    def __init__(self, rejection: Rejection) -> None:
        self._rejection = rejection

    def set(self) -> None:
        """Nothing waits."""

    def clear(self) -> None:
        """It stays broken."""

    async def wait(self) -> None:
        """Raises BadRequest, at once."""
        raise self._rejection.body_error()


class Connection(HttpToolsProtocol):
    """The base of our protocol. Its limits cost next to nothing while each head arrives in one packet.

    The application may have `requests` and `ids`, by which rejections are counted, logged and named.
    """

    _limits: Limits
    _timer: asyncio.TimerHandle | None = None  # for slow heads, idle connections and unread answers
    _ending = False  # no more bytes are parsed, and the connection ends after the last answer
    _last: Rejection | None = None  # that last answer, if it is none to a request
    _half_closed = False
    _encrypted = False
    _running: RequestResponseCycle | None = None  # the one that ASGI was given last
    _unread: Lease | None = None  # of the memory of answers that wait here because the client reads too slowly
    _refused = False  # one connection too many: its first bytes are answered with `_last`
    _address = "-"  # of the client; it stays "-" for one without, on a Unix socket

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.url = b""
        self._unparsed: list[memoryview] = []  # what came behind as many requests as may wait
        self._requests: RequestTelemetry | None = getattr(self.app, "requests", None)
        self._ids: RequestIds | None = getattr(self.app, "ids", None)
        self._open: Connections | None = getattr(self.app, "open_connections", None)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.client:
            self._address = self.client[0]
        self.flow = Flow(transport, self.pipeline, self._unparsed)
        self._encrypted = transport.get_extra_info("sslcontext") is not None
        self._limits = Limits(self.timeout_keep_alive, self.loop.time())
        self._timer = self.loop.call_later(min(HEAD_TIMEOUT_S, self.timeout_keep_alive), self._check_times)
        if self._open and (too_many := self._open.opened(self._address)):
            self._refuse(too_many)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._open:
            self._open.closed(self._address)
        if self._unread:
            self._unread.close()
        self._unparsed.clear()
        if self._running and not self._running.response_complete:  # super() knows only the newest
            self._running.disconnected = True
            self._running.message_event.set()
        self._running = None
        while self.pipeline:  # requests that nobody will answer: each refers to this connection, and it to them
            self.pipeline.pop()[0].on_response = _nothing
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more. Whether the connection stays open for answers; it ends with the last of them."""
        if not self._answering() or self.transport.is_closing() or self._encrypted:
            return False  # TLS ends both directions at once
        if self._limits.in_body and not self._ending and not self._drop_unfinished():
            return False
        if not self._ending:
            self._ending = True
            self.cycle.keep_alive = False
        if not self._half_closed:
            self._half_closed = True
            self._probe()
        return True

    def on_response_complete(self) -> None:
        """As super() does it, without a new timer per request: the connection's timer reads `idle_since`."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            if self._unparsed:
                self.loop.call_soon(self._parse_on)
        elif self._ending:
            self._end()
        else:
            self._limits.idle_since = self.loop.time()

    def _parse_on(self) -> None:
        """Parse more of what waits unparsed, now that fewer requests wait for their answers."""
        raise NotImplementedError

    def pause_writing(self) -> None:
        """The client reads more slowly than it is answered: what waits for it counts as memory that it holds."""
        if self._open:
            self._unread = self._unread or self._open.lease(self._address)
            self._unread.set(self.transport.get_write_buffer_size())
        self._restart_timer(0)
        super().pause_writing()

    def resume_writing(self) -> None:
        if self._unread:
            self._unread.close()
        super().resume_writing()

    def shutdown(self) -> None:
        """The service ends: as super() does it, and a client that reads nothing of its answer is left soon."""
        super().shutdown()
        self._restart_timer(0)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    # -- the end ------------------------------------------------------------------------------------------------------

    def _reject(self, rejection: Rejection) -> None:
        """End the connection with this answer, after the answers to all requests before. No more bytes are parsed."""
        if self.transport.is_closing() or self._ending:
            return
        self._ending, answering = True, self._answering()
        if not self._limits.in_body:
            self._last = rejection
        elif answering:  # its handler learns of it as it reads the body, and answers
            self._break_body(rejection)
        if not answering:
            self._end()

    def _break_body(self, rejection: Rejection) -> None:
        cycle = self.cycle
        cycle.keep_alive = False
        waiting, cycle.message_event = cycle.message_event, BrokenBody(rejection)  # type: ignore[assignment]
        waiting.set()

    def _drop_unfinished(self) -> bool:
        """Forget a request whose body will not come, and whether others before it wait for their answers."""
        if not self.pipeline:
            return False
        cycle, _ = self.pipeline.popleft()
        cycle.on_response, cycle.response_started = _nothing, True
        return True

    def _refuse(self, rejection: Rejection) -> None:
        """Answer with this, whatever comes: after the first bytes, or closing would take the answer from the client."""
        assert self._timer
        assert self._open
        self._ending = self._refused = True
        self._last = rejection
        self._timer.cancel()
        if self._open.crowded:
            self._end()
        else:
            self._timer = self.loop.call_later(REFUSED_S, self._end)

    def _end(self) -> None:
        if self._last:
            self.transport.write(self._response(self._last))
        self.transport.close()

    def _response(self, rejection: Rejection) -> bytes:
        """The whole answer, counted and logged as it is written."""
        method, url = (self.parser.get_method(), self.url) if self._limits.in_head else (b"", b"")
        request_id = self._ids.new() if self._ids else b""
        if self._requests:
            path = url[:LOGGED_PATH_BYTES].decode("latin-1") or "-"
            self._requests.note(
                method.decode() or "-", path, "unmatched", rejection.status, 0.0, request_id, self._address
            )
        return rejection.response(url, request_id, with_body=method != b"HEAD")

    # -- time ---------------------------------------------------------------------------------------------------------

    def _answering(self) -> bool:
        """Whether a request before the one that is parsed, or this one, still waits for its answer."""
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        """A packet ended within a head: the rest has 30 seconds."""
        self._limits.head_since = self.loop.time()
        self._restart_timer(HEAD_TIMEOUT_S)

    def _check_times(self) -> None:
        """The timer has run down: act on a limit that is passed, or wait for the next one."""
        now, transport, limits = self.loop.time(), self.transport, self._limits
        unread = transport.get_write_buffer_size()
        if limits.client_reads_nothing(now, unread, self._open.unread_timeout_s if self._open else UNREAD_TIMEOUT_S):
            transport.abort()
            return  # connection_lost follows
        left = limits.seconds_left(now, self._answering())
        if left <= 0 and not transport.is_closing():
            if limits.head_is_too_slow(now):
                self._reject(HEAD_TOO_SLOW)
            else:
                self.timeout_keep_alive_handler()
        wait_s = left if left > 0 else HEAD_TIMEOUT_S
        self._restart_timer(min(wait_s, UNREAD_CHECK_S) if unread else wait_s)

    def _restart_timer(self, seconds: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._check_times)

    def _probe(self) -> None:
        """Find out whether a client that sends no more has gone altogether: its system then refuses what is written.

        Only where that saves work, since the answer to a big request is given up when its client is gone. An interim
        answer does no harm to one that still reads, as long as the answer to its request has not begun.
        """
        cycle = self.cycle
        if not isinstance(cycle, RequestResponseCycle) or self.pipeline or self._limits.body_bytes <= BIG_BYTES:
            return
        if not cycle.response_started and cycle.scope["http_version"] == "1.1":
            self.transport.write(PROBE)
            self.loop.call_soon(self._check_probe, MIN_PROBE_S)

    def _check_probe(self, wait_s: float) -> None:
        if self.transport.is_closing() or self.cycle.response_complete:
            return
        if self.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
        else:
            self.loop.call_later(wait_s, self._check_probe, min(2 * wait_s, MAX_PROBE_S))


def _nothing() -> None:
    """In place of a reference to a connection that is over."""
