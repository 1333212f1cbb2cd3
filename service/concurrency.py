"""How long work leaves room for short requests: in slices on the event loop, or in a thread of lower priority."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")

SLICE_S = 0.002
BIG_BYTES = 64 * 1024  # a body from here on is decoded in slices, and given up when its caller goes away
WINDOW_BYTES = 2**20  # searched or copied at a time; a millisecond at most
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


def give_way() -> None:
    """Lower this thread's priority below the event loop's. On Linux, niceness belongs to a thread."""
    with suppress(OSError, AttributeError):
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS))
