"""Long work on the event loop, in parts between which other requests pass."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 0.002


async def apart(parts: Iterable[T]) -> list[T]:
    """All of them. Each should be some milliseconds' work at most, done when it is asked for."""
    found, since = [], perf_counter()
    for part in parts:
        found.append(part)
        if perf_counter() - since > PATIENCE_S:
            await asyncio.sleep(0)
            since = perf_counter()
    return found
