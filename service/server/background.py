"""Tasks that run beside the requests and must live as long as the process: one that fails is started again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic

log = logging.getLogger("service")

FIRST_PAUSE_S, MAX_PAUSE_S = 0.5, 30.0
STEADY_S = 60.0  # after so long without a failure the pause is short again


async def keep_running(name: str, work: Callable[[], Awaitable[None]], failed: Callable[[str], None]) -> None:
    """Run `work` until cancelled.

    After a failure, and where it ends by itself, it is started again after a pause that doubles up to 30 s.

    Args:
        name: of the task, for the log and the metrics.
        work: the task.
        failed: called with the name after every failure.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        began = monotonic()
        try:
            await work()
            log.warning("Background task %s ended; it starts again in %g s", name, pause_s)
        except Exception as error:
            trace = None if isinstance(error, OSError) else error  # the sentence of the system says it all
            log.error("Background task %s failed (%s); it starts again in %g s", name, error, pause_s, exc_info=trace)
        failed(name)
        pause_s = FIRST_PAUSE_S if monotonic() - began > STEADY_S else pause_s
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, MAX_PAUSE_S)


async def every(seconds: float, job: Callable[[], None]) -> None:
    """Call `job` again and again, the first time after a pause."""
    while True:
        await asyncio.sleep(seconds)
        job()


async def every_in_thread(seconds: float, job: Callable[[], None]) -> None:
    """The same for a job that reads files, off the event loop."""
    while True:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(job)
