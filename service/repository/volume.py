"""File calls below models/, off the event loop and under a time limit: the folder may be a network volume that stalls.

One daemon thread makes all calls that read, in their order, and another one those that write. While a call is overdue,
further calls fail at once, and the versions in memory serve on. It knows threads and time, and nothing of models.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from service.errors import Unavailable

T = TypeVar("T")

Files = Callable[..., Any]  # makes a file call: `files(function, *arguments)` returns or raises what it does

RETRY_AFTER_S = 5
WRITE_S = 90.0  # a writer waits up to a minute for another one
STOPPING = (
    "The service is stopping and could wait no longer for the models folder; "
    "ask another instance whether what you asked for was done."
)


def at_once(function: Callable[..., T], *arguments: Any) -> T:
    """Files without a limit: for programs that have nothing else to do."""
    return function(*arguments)


class Job(NamedTuple):
    """One call that waits for the thread."""

    function: Callable[[], Any]
    limit_s: float
    hand_over: Callable[[Any, BaseException | None], None]


class Volume:
    """Makes calls one after another in a thread.

    Args:
        timeout_s: how long a call may take before its caller is told that the folder does not answer.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._writes: Volume | None = None
        self._waited_for: set[asyncio.Future[Any]] = set()
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
        loop, limit_s = asyncio.get_running_loop(), timeout_s or self._timeout_s
        future: asyncio.Future[T] = loop.create_future()
        self._put(Job(partial(function, *arguments), limit_s, partial(_hand_over_in_loop, loop, future)))
        self._waited_for.add(future)
        try:
            async with asyncio.timeout(limit_s):
                return await future
        except TimeoutError:
            if future.done() and not future.cancelled():  # the call itself raised TimeoutError
                raise
            raise _no_answer(limit_s) from None
        finally:
            self._waited_for.discard(future)
            del future  # its error refers to this frame, and would live on in a cycle

    def wait(self, function: Callable[..., T], *arguments: Any, timeout_s: float | None = None) -> T:
        """The same for a thread without an event loop, which is blocked meanwhile: for the start of the service.

        Raises:
            Unavailable: an earlier call is overdue, or this one did not end in time.
        """
        limit_s, future = timeout_s or self._timeout_s, Future[T]()
        self._put(Job(partial(function, *arguments), limit_s, partial(_hand_over, future)))
        try:
            return future.result(limit_s)
        except TimeoutError:
            if future.done():
                raise
            raise _no_answer(limit_s) from None

    def _put(self, job: Job) -> None:
        if trouble := self.trouble:
            raise Unavailable(trouble, RETRY_AFTER_S)
        if self._thread is None:
            self._thread = threading.Thread(target=_work, args=(self._jobs, self), name="volume", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    async def write(self, function: Callable[..., T], *arguments: Any) -> T:
        """The same for what changes files, in a thread of its own: it may wait for another process that writes.

        Raises:
            Unavailable: the folder does not answer, or this call did not end within 90 s.
        """
        if trouble := self.trouble:
            raise Unavailable(trouble, RETRY_AFTER_S)
        if self._writes is None:
            self._writes = Volume(WRITE_S)
        return await self._writes.call(function, *arguments)

    def give_up(self) -> None:
        """From any thread: whoever waits for the folder is told Unavailable now, since the process is about to stop."""
        for future in list(self._waited_for):
            _hand_over_in_loop(future.get_loop(), future, None, Unavailable(STOPPING, RETRY_AFTER_S))
        if self._writes:
            self._writes.give_up()

    def close(self) -> None:
        """Let the threads end, once what they do has ended."""
        self._jobs.put(None)
        if self._writes:
            self._writes.close()


def _work(jobs: SimpleQueue[Job | None], volume: Volume) -> None:
    while job := jobs.get():
        volume.deadline = monotonic() + job.limit_s
        try:
            found, error = job.function(), None
        except BaseException as raised:  # noqa: BLE001 - handed to whoever called
            found, error = None, raised
        volume.deadline = None
        job.hand_over(found, error)
        del job, found, error


def _no_answer(limit_s: float) -> Unavailable:
    return Unavailable(f"The models folder did not answer within {limit_s:g} s.", RETRY_AFTER_S)


def _hand_over_in_loop(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], found: Any, error: BaseException | None
) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(_hand_over, future, found, error)


def _hand_over(future: asyncio.Future[Any] | Future[Any], found: Any, error: BaseException | None) -> None:
    if future.done():  # given up
        return
    if error is None:
        future.set_result(found)
    else:
        future.set_exception(error)
