"""How requests share one process: long work in slices on the event loop, or in a thread of lower priority, and a place
to wait for what others give back.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")

SLICE_S = 0.002
BIG_BYTES = 64 * 1024  # a body from here on is decoded in slices, and given up when its caller goes away
WINDOW_BYTES = 2**20  # searched or copied at a time; a millisecond at most
WAIT_S = 1.0  # for what others give back
MAX_WAITING = 256  # requests; each may have as much as came before the service ceased to read its connection, 320 KiB
NICENESS = 10  # that a thread of long work has above the rest of its process


async def cooperate(parts: Iterable[T]) -> list[T]:
    """Evaluates lazily, yielding to the event loop every 2 ms. Each part should take a few milliseconds at most."""
    found, since = [], perf_counter()
    for part in parts:
        found.append(part)
        if perf_counter() - since > SLICE_S:
            await asyncio.sleep(0)
            since = perf_counter()
    return found


class Waiters:
    """Requests that wait a moment for what others give back, in place of being refused at once.

    Clients that ask again as soon as they are refused would take all the time for refusals. Used on the event loop.
    """

    __slots__ = ("_number", "_returned")

    def __init__(self) -> None:
        self._number = 0
        self._returned = asyncio.Event()  # another one each time that something is given back

    def wake(self) -> None:
        """Something was given back."""
        if self._number:
            self._returned.set()
            self._returned = asyncio.Event()

    async def until(self, free: Callable[[], bool]) -> None:
        """Wait until `free()`, for a second at most, and not at all behind MAX_WAITING others."""
        if free() or self._number >= MAX_WAITING:
            return
        self._number += 1
        try:
            async with asyncio.timeout(WAIT_S):
                while not free():
                    await self._returned.wait()
        except TimeoutError:
            return
        finally:
            self._number -= 1


def give_way() -> None:
    """Lower this thread's priority below the event loop's. On Linux, niceness belongs to a thread."""
    with suppress(OSError, AttributeError):
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS))
