"""Graceful shutdown. After a signal the service first reports not ready, so that load balancers use other instances;
then it rejects new requests; then it ends, once the requests in flight are answered. This file knows no HTTP.

A worker that is told to stop while the others go on does not reject: it takes no new connections, which the others
take instead, and answers what comes on its old ones.

A second signal stops it at once, whatever is in flight, and so does the end of the grace period. Signals within a
second of the first belong to the same stop: some tools send SIGTERM to a process and to its group.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from time import monotonic

from service.server.signals import SIGNALS, into_pipe
from service.telemetry.exit import end_process

log = logging.getLogger("service")

POLL_S = 0.02
SAME_STOP_S = 1.0
TOGETHER_S = 0.5  # within which the supervisor's order follows a signal that went to all processes
IDLE_S = 1.0  # for which a worker that stops alone still answers on connections that clients keep open
LAST_MOMENT = 0.8  # of the time between the end of the drain and that of the grace period
CUT_SHORT = 1  # exit code if requests were cut short; 0 if all were answered
STOP_AT_ONCE = int(signal.SIGKILL)  # an order of the supervisor; its others are SIGTERM and SIGINT


class Drain:
    """The state of one process's shutdown.

    Args:
        drain_s: seconds from not ready to rejecting new requests: as long as load balancers need to notice.
        grace_s: seconds from the first signal to stopping at once.

    Attributes:
        leaving: every response closes its connection, so that clients reconnect elsewhere.
        whole: the whole service stops, not this worker alone; known once `leaving`.
        refusing: new requests are rejected.
        inside: requests in flight; the middleware, the fast path and gRPC count them.
        on_leave: called when `leaving` begins.
        on_last_moment: called in a thread when little of the grace period is left, to end what cannot be waited for.
        closers: called when other protocols than HTTP must send their clients elsewhere, and waited for.
        stop_accepting: leaves new HTTP connections to other workers.
    """

    def __init__(self, drain_s: float = 0, grace_s: float = 30) -> None:
        self.leaving = False
        self.whole = True
        self.refusing = False
        self.inside = 0
        self.on_leave: list[Callable[[], None]] = []
        self.on_last_moment: list[Callable[[], None]] = []
        self.closers: list[Callable[[], Awaitable[None]]] = []
        self.stop_accepting: Callable[[], None] = lambda: None
        self._drain_s = drain_s
        self._grace_s = grace_s
        self._told: dict[bool, float] = {}
        self._lock = threading.Lock()
        self._task: asyncio.Task[None] | None = None

    def listen(self, finish: Callable[[], None], supervised: bool = False) -> None:
        """Within the running loop: take signals over from uvicorn.

        A thread learns of them at once, even while the loop's thread is busy.

        Args:
            finish: ends the server; called in the loop after everything else.
            supervised: whether a supervisor has other workers too, and tells through `told` when all stop.
        """
        self.whole = not supervised
        self._finish, self._loop = finish, asyncio.get_running_loop()
        threading.Thread(target=self._wait_for_signals, args=(into_pipe(),), name="signals", daemon=True).start()

    def told(self, number: int, by_supervisor: bool = False) -> None:
        """Begin to stop, or stop at once where this is the second time. From any thread.

        Signals and orders are counted apart: a signal to all processes comes to a worker as both.
        """
        with self._lock:
            begun, now = bool(self._told), monotonic()
            again = now - self._told.setdefault(by_supervisor, now) > SAME_STOP_S and number != signal.SIGHUP
            self.whole |= by_supervisor
        if number == STOP_AT_ONCE or again:
            self._stop_at_once("after a second signal")
        elif not begun:
            why = f"after the grace period of {self._grace_s:g} s"
            _start_timer(self._drain_s + LAST_MOMENT * (self._grace_s - self._drain_s), self._last_moment)
            _start_timer(self._grace_s, self._stop_at_once, why)
            self._loop.call_soon_threadsafe(self._begin, number)

    async def leave(self, drain_s: float) -> None:
        """Every step of the whole service's shutdown except the last, which is uvicorn's."""
        self.leaving = True
        log.info("Stopping: not ready from now on, no new requests in %g s", drain_s)
        await asyncio.sleep(drain_s)
        self.refusing = True
        await self._answered()
        log.info("All requests are answered; stopping")

    async def leave_alone(self) -> None:
        """The same for one worker of several, while the others go on."""
        log.info("Stopping this worker: the others take new connections")
        self.stop_accepting()
        await asyncio.sleep(IDLE_S)
        await self._answered()

    async def _answered(self) -> None:
        await asyncio.gather(*(close() for close in self.closers))
        while self.inside:  # noqa: ASYNC110 - an Event would cost a check per request
            await asyncio.sleep(POLL_S)

    async def _stop(self, number: int) -> None:
        self.leaving = True
        for tell in self.on_leave:
            tell()
        end = monotonic() + TOGETHER_S
        while not self.whole and monotonic() < end:  # noqa: ASYNC110 - an order, which seldom comes, sets it
            await asyncio.sleep(POLL_S)
        if self.whole:
            await self.leave(0 if number == signal.SIGINT else self._drain_s)  # Ctrl-C: a person waits
        else:
            await self.leave_alone()

    def _wait_for_signals(self, pipe: int) -> None:
        while received := os.read(pipe, 16):
            for number in received:
                if number in SIGNALS:
                    self.told(number)

    def _begin(self, number: int) -> None:
        self._task = asyncio.create_task(self._stop(number))
        self._task.add_done_callback(lambda _: self._finish())

    def _last_moment(self) -> None:
        for end in self.on_last_moment:
            end()

    def _stop_at_once(self, why: str) -> None:
        log.warning("Stopping at once %s; requests cut short: %d", why, self.inside)
        end_process(CUT_SHORT)


def _start_timer(seconds: float, function: Callable[..., None], *arguments: object) -> None:
    timer = threading.Timer(seconds, function, arguments)
    timer.daemon = True
    timer.start()
