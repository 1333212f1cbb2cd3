"""Graceful shutdown. After a signal the service first reports not ready, so that load balancers use other instances;
then it rejects new requests; then it ends, once the requests in flight are answered. This file knows no HTTP.

A second signal, or the end of the grace period, stops it at once, whatever is in flight.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from service.telemetry.logs import flush

log = logging.getLogger("service")

POLL_S = 0.02
CUT_SHORT = 1  # exit code if requests were cut short; 0 if all were answered

Handler = Callable[[int, Any], Any]


class Drain:
    """The state of one process's shutdown.

    Args:
        drain_s: seconds from not ready to rejecting new requests: as long as load balancers need to notice.
        grace_s: seconds from the first signal to stopping at once.

    Attributes:
        leaving: not ready; every response closes its connection, so that clients reconnect elsewhere.
        refusing: new requests are rejected.
        inside: requests in flight; the middleware, the fast path and gRPC count them.
    """

    def __init__(self, drain_s: float = 0, grace_s: float = 30) -> None:
        self.leaving = False
        self.refusing = False
        self.inside = 0
        self._drain_s = drain_s
        self._grace_s = grace_s
        self._signalled = False
        self._task: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Within the running loop: take SIGTERM and SIGINT over from uvicorn, whose handler runs at the end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            finish: Handler = signal.getsignal(number)  # type: ignore[assignment]
            signal.signal(number, partial(self._on_signal, loop, finish))

    async def leave(self, drain_s: float) -> None:
        """Every step of the shutdown except the last, which is uvicorn's."""
        self.leaving = True
        log.info("Stopping: not ready from now on, no new requests in %g s", drain_s)
        await asyncio.sleep(drain_s)
        self.refusing = True
        while self.inside:  # noqa: ASYNC110 - an Event would cost a check per request
            await asyncio.sleep(POLL_S)
        log.info("All requests are answered; stopping")

    def _on_signal(self, loop: asyncio.AbstractEventLoop, finish: Handler, number: int, _: object) -> None:
        if self._signalled:  # in a thread: this handler may have interrupted the holder of logging's lock
            threading.Thread(target=self._stop_at_once, args=("after a second signal",), daemon=True).start()
            return
        self._signalled = True
        clock = threading.Timer(self._grace_s, self._stop_at_once, (f"after the grace period of {self._grace_s:g} s",))
        clock.daemon = True
        clock.start()
        loop.call_soon_threadsafe(self._begin, finish, number)

    def _begin(self, finish: Handler, number: int) -> None:
        drain_s = 0 if number == signal.SIGINT else self._drain_s  # Ctrl-C: a person waits, no load balancer
        self._task = asyncio.create_task(self.leave(drain_s))
        self._task.add_done_callback(lambda _: finish(number, None))

    def _stop_at_once(self, why: str) -> None:
        log.warning("Stopping at once %s; requests cut short: %d", why, self.inside)
        flush()
        os._exit(CUT_SHORT)
