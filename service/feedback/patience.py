"""How long a caller waits for the feedback file, and what it is told where that was in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from service.errors import DigitsError, FeedbackUnavailable

T = TypeVar("T")

RETRY_AFTER_S = 5

TOO_LATE = "The feedback file could not be used within {:g} seconds{}. Nothing was stored; try again later."
LOCKED_SO_LONG = ", because another process holds its lock"
IN_DOUBT = (
    "The disk gave no answer within {:g} seconds. A correction may be stored or not; sending it again does no harm."
)
STOPPING = "This instance is stopping and stores no more corrections; retry on another one."

STOPPING_IN_DOUBT = (
    "This instance is stopping, and its disk gave no answer. A correction may be stored or not; sending it again on "
    "another instance does no harm."
)


class Patience:
    """The deadline of every caller, and its end for all of them at once.

    Args:
        timeout_s: how long a caller waits.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._given_up = asyncio.Event()

    def give_up(self) -> None:
        """From any thread: whoever waits is answered now. The process is about to stop, whatever the disk does."""
        if self._loop:
            self._loop.call_soon_threadsafe(self._given_up.set)

    async def outcome(self, future: Future[T], why_late: Callable[[], str]) -> T | DigitsError:
        """What the future holds within the deadline; else the error that says what is known.

        Args:
            future: of the thread that uses the file. Cancelled where it has not begun.
            why_late: says why it has not, or nothing.
        """
        try:
            await self.until_done(future)
        finally:
            untouched = future.cancel()
        if untouched and self._given_up.is_set():
            return FeedbackUnavailable(STOPPING, RETRY_AFTER_S)
        if untouched:
            return FeedbackUnavailable(TOO_LATE.format(self._timeout_s, why_late()), RETRY_AFTER_S)
        if future.done():
            return future.result()
        sentence = STOPPING_IN_DOUBT if self._given_up.is_set() else IN_DOUBT.format(self._timeout_s)
        return FeedbackUnavailable(sentence, RETRY_AFTER_S)

    async def until_done(self, future: Future[Any]) -> None:
        """Wait, until the deadline at the latest, or until `give_up`."""
        self._loop = asyncio.get_running_loop()
        over = self._loop.create_task(self._given_up.wait())
        try:
            waited = (asyncio.wrap_future(future), over)
            await asyncio.wait(waited, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()


def result(outcome: T | DigitsError) -> T:
    """The outcome, or its error raised."""
    if isinstance(outcome, DigitsError):
        try:
            raise outcome
        finally:
            del outcome  # or error, traceback and frame would keep each other in memory
    return outcome
