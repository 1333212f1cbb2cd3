"""Limits on one connection: the size of a request's head, the time that it may take, the time between requests, and
the time that an answer may wait for a client that reads nothing.

The size is checked once per packet, all times by one timer per connection, which is set anew when it has run down.
The protocol keeps the attributes up to date while it parses. Nothing here does I/O.
"""

from __future__ import annotations

from service.server.rejection import Rejection

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 200  # each costs more memory than bytes of the head
HEAD_TIMEOUT_S = 30.0

HEAD_TOO_LARGE = Rejection(
    431, f"The head of the request is over the limit of {MAX_HEAD_BYTES:,} bytes; send fewer headers."
)
TOO_MANY_HEADERS = Rejection(431, f"The request has more than {MAX_HEADERS} headers; send fewer.")
HEAD_TOO_SLOW = Rejection(
    408, f"The head of the request did not come within {HEAD_TIMEOUT_S:g} seconds; send it again."
)


class Limits:
    """How far one connection is from its limits. Times are the event loop's, in seconds.

    Args:
        idle_timeout_s: how long a connection may stay open without a request after an answer.
        now: when the connection was made; the head of its first request is awaited from then on.

    Attributes:
        in_head: between the first byte of a head and its end.
        in_body: between the end of a head and the end of its request.
        head_bytes: received since a head last began or a body last continued: of a head, of chunk sizes and extensions,
            or of trailers. Each packet is added before it is parsed; a head that begins or more of a body resets it.
        body_bytes: of the body that an ASGI handler is given, as far as it has come.
        packet_bytes: of the packet that is parsed.
        first_bytes: of the packet in which a head last began.
        head_since: since when a head is awaited that did not come in one packet; 0 if none is.
        idle_since: when the last answer was complete.
    """

    __slots__ = (
        "_idle_timeout_s",
        "_unread_bytes",
        "_unread_since",
        "body_bytes",
        "first_bytes",
        "head_bytes",
        "head_since",
        "idle_since",
        "in_body",
        "in_head",
        "packet_bytes",
    )

    def __init__(self, idle_timeout_s: float, now: float) -> None:
        self._idle_timeout_s = idle_timeout_s
        self.in_head = self.in_body = False
        self.head_bytes = self.body_bytes = self.packet_bytes = self.first_bytes = self._unread_bytes = 0
        self.head_since = self.idle_since = self._unread_since = now

    def head_is_too_slow(self, now: float) -> bool:
        return self.head_since > 0 and now >= self.head_since + HEAD_TIMEOUT_S

    def client_reads_nothing(self, now: float, unread: int, timeout_s: float) -> bool:
        """Whether no byte of what is written, `unread` bytes of which wait here, was taken for `timeout_s`.

        To be asked at every check of the times: it compares with the time before.
        """
        if not unread or unread != self._unread_bytes:
            self._unread_bytes, self._unread_since = unread, now
            return False
        return now >= self._unread_since + timeout_s

    def seconds_left(self, now: float, answering: bool) -> float:
        """Seconds until the next check; 0 or less if a limit is passed now.

        Args:
            now: the time.
            answering: a request is being answered. Then neither limit applies: the rest of a head may wait unread
                behind that request, and the connection is not idle. Both times begin anew.
        """
        if answering:
            self.head_since = now if self.head_since else 0.0
            return HEAD_TIMEOUT_S if self.head_since else self._idle_timeout_s
        if self.head_since:
            return self.head_since + HEAD_TIMEOUT_S - now
        return self.idle_since + self._idle_timeout_s - now
