"""Receives messages within limits of memory and time, and finds out from whom.

gRPC collects a whole message before it shows it. It takes in no more than a window of 64 KiB until somebody waits for
the message, and anything up to the largest size from then on. So only a few calls wait at a time, each for a moment;
whoever waits longer has to hold the largest size, of a budget for messages on their way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import grpc

from service.access.client import UNKNOWN
from service.errors import BadRequest, DigitsError, RequestTimeout, Unavailable
from service.openinference.grpc.decoding import UndecodedMessage
from service.server.budget import Budget, Lease
from service.settings import Settings

AT_ONCE_S = 0.01  # within which a small message comes
NO_MESSAGE = "The call ended without a message; send one."
TOO_MANY = "As many large or slow messages are on their way as may be. Try again in a second, or send smaller ones."
TOO_MANY_STREAMS = "As many streams are open as may be. End some, or use single calls."


class Receiver:
    """Receives the messages of all calls of one process.

    Half of `max_inflight_bytes` is for messages that come at once, half for those that take longer and for streams.

    Args:
        settings: limits.
    """

    def __init__(self, settings: Settings) -> None:
        self.max_bytes = min(settings.max_grpc_message_bytes, settings.max_body_bytes)
        self._timeout_s = settings.body_timeout_s
        half = settings.max_inflight_bytes // 2
        self._turns = Turns(max(2, half // self.max_bytes))
        self._slow = Budget(half)

    async def message(self, call: Any, client: str) -> UndecodedMessage:
        """The message of a call.

        Args:
            call: of a handler for streams of requests: only those may wait before they read.
            client: holds what is on its way.

        Raises:
            BadRequest: there is none.
            RequestTimeout: it did not arrive in time.
            Unavailable: too many others are on their way.
        """
        if not self._turns.take(client):
            await self._turns.wait(client)
        waiting = _Waiting(self._turns, Lease(self._slow, client), self.max_bytes, self._timeout_s)
        try:
            found = await call.read()
        except asyncio.CancelledError:
            if waiting.refusal is None:
                raise
            waiting.task.uncancel()
            raise waiting.refusal from None
        finally:
            waiting.end()
        if found is grpc.aio.EOF:
            raise BadRequest(NO_MESSAGE)
        message: UndecodedMessage = found
        return message

    @contextmanager
    def stream(self, client: str) -> Iterator[None]:
        """While a stream is open, one of its messages may be on its way. Raises Unavailable."""
        lease = Lease(self._slow, client)
        try:
            lease.hold(self.max_bytes)
        except Unavailable as error:
            raise Unavailable(TOO_MANY_STREAMS, error.retry_after) from None
        try:
            yield
        finally:
            lease.close()


class _Waiting:
    """The timer of one call that waits for its message. It is cancelled where it may wait no longer.

    Attributes:
        refusal: why it was cancelled.
        task: the one that waits.
    """

    __slots__ = ("_lease", "_max_bytes", "_timeout_s", "_timer", "_turns", "refusal", "task")

    def __init__(self, turns: Turns, lease: Lease, max_bytes: int, timeout_s: float) -> None:
        self._turns: Turns | None = turns
        self._lease = lease
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self.refusal: DigitsError | None = None
        task = asyncio.current_task()
        assert task
        self.task = task
        self._timer = asyncio.get_running_loop().call_later(AT_ONCE_S, self._wait_longer)

    def end(self) -> None:
        self._timer.cancel()
        self._lease.close()
        self._give_turn_back()

    def _give_turn_back(self) -> None:
        if self._turns:
            self._turns.give_back(self._lease.client)
            self._turns = None

    def _wait_longer(self) -> None:
        try:
            self._lease.hold(self._max_bytes)
        except Unavailable as error:
            self._refuse(Unavailable(TOO_MANY, error.retry_after))
        else:
            self._give_turn_back()
            self._timer = asyncio.get_running_loop().call_later(self._timeout_s, self._give_up)

    def _give_up(self) -> None:
        waited = f"{self._timeout_s:g} seconds"
        self._refuse(RequestTimeout(f"The message did not arrive within {waited}; send it again, or in parts."))

    def _refuse(self, error: DigitsError) -> None:
        self.refusal = error
        self.task.cancel()


class Turns:
    """Lets a few calls at a time read, since each may turn out to bring a large message; clients take turns.

    Args:
        most: at a time; one client may have half of them.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._most_per_client = max(1, most // 2)
        self._taken: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def take(self, client: str) -> bool:
        """Take a turn, if there is one at once."""
        taken = self._taken.get(client, 0)
        if self._free <= 0 or taken >= self._most_per_client:
            return False
        self._free -= 1
        self._taken[client] = taken + 1
        return True

    async def wait(self, client: str) -> None:
        """Wait for a turn: no longer than others may wait for a message that does not come at once."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # given just now
                self.give_back(client)
            raise

    def give_back(self, client: str) -> None:
        """End a turn; the next one is that of the client who waits longest for one."""
        self._free += 1
        if self._taken[client] > 1:
            self._taken[client] -= 1
        else:
            del self._taken[client]
        for name in list(self._waiting):
            queue = self._waiting[name]
            while queue and queue[0].done():  # it does not wait any more
                queue.popleft()
            if queue and self.take(name):
                queue.popleft().set_result(None)
                self._waiting[name] = self._waiting.pop(name)  # to the end
            if not queue:
                self._waiting.pop(name, None)
            if self._free <= 0:
                return


@lru_cache(4096)
def address_of(peer: str) -> str:
    """The IP address in what gRPC calls a peer, such as ipv4:192.0.2.1:4711 or ipv6:%5B2001:db8::1%5D:4711."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return UNKNOWN
    return unquote(rest).rpartition(":")[0].strip("[]") or UNKNOWN
