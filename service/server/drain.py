"""Leaving without anyone noticing. Told to stop, the service is first not ready, so that load balancers look elsewhere;
then refuses what is new; then ends, once what it had begun is answered. It knows signals and time, and no HTTP.

Told twice, or at the end of the grace, it stops at once, whatever is still being answered.
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

log = logging.getLogger("service")

POLL_S = 0.02
CUT_SHORT = 1  # exit code where requests were cut; 0 where all were answered

Handler = Callable[[int, Any], Any]


class Drain:
    """How far one process is with leaving.

    Args:
        drain_s: from not being ready to refusing what is new: as long as load balancers need to notice.
        grace_s: from being told to stop to stopping at once.

    Attributes:
        leaving: not ready; every answer closes its connection, so that clients come back elsewhere.
        refusing: new requests are refused.
        inside: requests being answered; the door and the fast path count them.
    """

    def __init__(self, drain_s: float = 0, grace_s: float = 30) -> None:
        self.leaving = False
        self.refusing = False
        self.inside = 0
        self._drain_s = drain_s
        self._grace_s = grace_s
        self._told = False
        self._task: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Take SIGTERM and SIGINT over from uvicorn, within its running loop; uvicorn hears of them at the end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            finish: Handler = signal.getsignal(number)  # type: ignore[assignment]
            signal.signal(number, partial(self._on_signal, loop, finish))

    async def leave(self, drain_s: float) -> None:
        """All of it, but for the last step, which is the server's."""
        self.leaving = True
        log.info("Told to stop: not ready now, no new requests in %g s", drain_s)
        await asyncio.sleep(drain_s)
        self.refusing = True
        while self.inside:  # noqa: ASYNC110 - an Event would cost every request a test for it
            await asyncio.sleep(POLL_S)
        log.info("All requests are answered; stopping")

    def _on_signal(self, loop: asyncio.AbstractEventLoop, finish: Handler, number: int, _: object) -> None:
        if self._told:  # in a thread: a signal handler may have interrupted the very lock that logging needs
            threading.Thread(target=self._stop_at_once, args=("told twice",), daemon=True).start()
            return
        self._told = True
        clock = threading.Timer(self._grace_s, self._stop_at_once, (f"the grace of {self._grace_s:g} s is over",))
        clock.daemon = True
        clock.start()
        loop.call_soon_threadsafe(self._begin, finish, number)

    def _begin(self, finish: Handler, number: int) -> None:
        drain_s = 0 if number == signal.SIGINT else self._drain_s  # Ctrl-C: a person waits, and no load balancer
        self._task = asyncio.create_task(self.leave(drain_s))
        self._task.add_done_callback(lambda _: finish(number, None))

    def _stop_at_once(self, why: str) -> None:
        log.warning("Stopping at once, %s; requests cut short: %d", why, self.inside)
        os._exit(CUT_SHORT)
