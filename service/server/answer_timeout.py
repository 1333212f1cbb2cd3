"""Ends work for an answer that takes too long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.errors import AnswerTimeout


@asynccontextmanager
async def answer_timeout(seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """Cancel what runs inside after so long. Raises AnswerTimeout."""
    timer = asyncio.timeout(seconds)
    try:
        async with timer:
            yield timer
    except TimeoutError:
        if not timer.expired():
            raise
        raise AnswerTimeout(
            f"The answer was not ready within {seconds:g} seconds, and the work for it was ended. Send fewer digits or "
            "smaller pictures per request."
        ) from None
