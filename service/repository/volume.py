"""File calls below models/, off the event loop and under a time limit: the folder may be a network volume that stalls.

One daemon thread makes all calls in their order. While one of them is overdue, further calls fail at once, and the
versions in memory serve on. It knows threads and time, and nothing of models.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from service.errors import Unavailable

T = TypeVar("T")

RETRY_AFTER_S = 5


class Job(NamedTuple):
    """One call that waits for the thread."""

    function: Callable[[], Any]
    limit_s: float
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class Volume:
    """Makes calls one after another in a thread.

    Args:
        timeout_s: how long a call may take before its caller is told that the folder does not answer.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self.deadline: float | None = None  # of the call that runs now, of the monotonic clock

    @property
    def trouble(self) -> str:
        """Why the folder cannot be read now: a sentence; empty while it answers."""
        deadline = self.deadline
        overdue_s = monotonic() - deadline if deadline is not None else 0.0
        if overdue_s <= 0:
            return ""
        waited_s = overdue_s + self._timeout_s
        return f"The models folder has not answered for {waited_s:.0f} s; the versions in memory serve on."

    async def call(self, function: Callable[..., T], *arguments: Any, timeout_s: float | None = None) -> T:
        """What `function` returns or raises, called in the thread.

        Args:
            function: makes file calls; it runs to its end even where its caller has given up.
            arguments: its arguments.
            timeout_s: a longer limit than the usual one, for what computes too.

        Raises:
            Unavailable: an earlier call is overdue, or this one did not end in time.
        """
        if trouble := self.trouble:
            raise Unavailable(trouble, RETRY_AFTER_S)
        if self._thread is None:
            self._thread = threading.Thread(target=_work, args=(self._jobs, self), name="volume", daemon=True)
            self._thread.start()
        loop, limit_s = asyncio.get_running_loop(), timeout_s or self._timeout_s
        job = Job(partial(function, *arguments), limit_s, loop, loop.create_future())
        self._jobs.put(job)
        try:
            async with asyncio.timeout(limit_s):
                return await job.future  # type: ignore[no-any-return]
        except TimeoutError:
            if job.future.done() and not job.future.cancelled():  # the call itself raised TimeoutError
                raise
            raise Unavailable(f"The models folder did not answer within {limit_s:g} s.", RETRY_AFTER_S) from None

    def close(self) -> None:
        """Let the thread end, once what it does has ended."""
        self._jobs.put(None)


def _work(jobs: SimpleQueue[Job | None], volume: Volume) -> None:
    while job := jobs.get():
        volume.deadline = monotonic() + job.limit_s
        try:
            found, error = job.function(), None
        except BaseException as raised:  # noqa: BLE001 - handed to whoever called
            found, error = None, raised
        volume.deadline = None
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            job.loop.call_soon_threadsafe(_hand_over, job.future, found, error)
        del job, found, error


def _hand_over(future: asyncio.Future[Any], found: Any, error: BaseException | None) -> None:
    if future.done():  # given up
        return
    if error is None:
        future.set_result(found)
    else:
        future.set_exception(error)
