"""Dynamic batching: requests that wait in the same iteration of the event loop share one run of the model.

A single request runs at once on the event loop, without a timer or a thread. A full batch does not wait for the end of
the iteration. Arrays of more than `inline_rows` rows run in one thread of low priority, piece by piece, so that small
requests are answered in between. Only `run` is called outside the event loop. This module knows nothing of digits.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.concurrency import Waiters, give_way
from service.errors import RunTimeout, Unavailable
from service.telemetry.statistics import Execution

Array = NDArray[np.generic]
Run = Callable[[Array], Array]
Ran = Callable[[Execution], None]


class Ticket(Protocol):
    """Receives the results of one request: a future, or an object with the same methods."""

    def done(self) -> bool: ...
    def set_result(self, results: Array, /) -> None: ...
    def set_exception(self, error: Exception, /) -> None: ...


Waiting = tuple[Array, Ticket, int]  # rows, receiver of the results, time of arrival in ns


class AdmissionLimit:
    """Counts the rows that wait or run in all batchers of one process, and limits them."""

    def __init__(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self.rows = 0
        self._waiters = Waiters()

    @property
    def full(self) -> bool:
        """Whether not even one more row fits."""
        return self.rows >= self.max_rows

    def acquire(self, rows: int) -> None:
        """Reserve `rows`. Raises Unavailable where they do not fit; an empty queue admits any request."""
        if not self._fits(rows):
            raise Unavailable(f"The queue is full: {self.rows} digits are waiting. Try again in a second.")
        self.rows += rows

    async def take(self, rows: int) -> None:
        """The same, but where they do not fit, wait for a second at most until they do."""
        await self._waiters.until(lambda: self._fits(rows))
        self.acquire(rows)

    def release(self, rows: int) -> None:
        self.rows -= rows
        self._waiters.wake()

    def _fits(self, rows: int) -> bool:
        return not self.rows or self.rows + rows <= self.max_rows


class Batcher:
    """Collects rows into batches: `await batcher.submit(rows)`, or `batcher.join(rows, ticket)` with a callback.

    Args:
        run: takes (n, ...) and returns (n, ...), row for row. Called on the event loop and in a thread.
        admission: the limit, shared with other batchers.
        inline_rows: maximum rows of one run on the event loop.
        piece_rows: rows of one run in the thread.
        ran: called on the event loop after every run that succeeded.
    """

    def __init__(
        self, run: Run, admission: AdmissionLimit, inline_rows: int = 32, piece_rows: int = 64, ran: Ran | None = None
    ) -> None:
        self._run = run
        self._admission = admission
        self.inline_rows = inline_rows
        self._piece_rows = piece_rows
        self._ran = ran or (lambda _: None)
        self._waiting: list[Waiting] = []
        self._waiting_rows = 0  # at most inline_rows
        self._thread: ThreadPoolExecutor | None = None

    async def submit(self, rows: Array) -> Array:
        """Run `rows` (n, ...), in one batch with other waiting requests, and return the n results in order.

        Raises:
            Unavailable: the queue is full.
        """
        count = len(rows)
        if count > self.inline_rows:
            await self._admission.take(count)
            try:
                return await self._run_in_thread(rows)
            finally:
                self._admission.release(count)
        future: asyncio.Future[Array] = asyncio.get_running_loop().create_future()
        self.join(rows, future)
        try:
            return await future
        finally:
            del future  # its error refers to this frame, and would live on in a cycle

    def join(self, rows: Array, ticket: Ticket) -> None:
        """Callback form of submit(), for at most `inline_rows` rows. The ticket is called later, and must not raise.

        Raises:
            Unavailable: the queue is full; the ticket is not called.
        """
        if self._waiting_rows + len(rows) > self.inline_rows:
            self._flush()  # a full batch runs at once, while its rows are in the CPU cache
        self._admission.acquire(len(rows))
        if not self._waiting:
            # runs after all requests that this iteration of the loop has resumed
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append((rows, ticket, perf_counter_ns()))
        self._waiting_rows += len(rows)

    def close(self) -> None:
        """End the thread when its current run has ended. A later submit() starts a new one."""
        if self._thread:
            self._thread.shutdown(wait=False)
            self._thread = None

    # -- small arrays: on the event loop --------------------------------------------------------------------

    def _flush(self) -> None:
        entered, self._waiting = self._waiting, []
        rows, self._waiting_rows = self._waiting_rows, 0
        self._admission.release(rows)
        waiting = [one for one in entered if not one[1].done()]  # the other callers have disconnected
        entered.clear()  # see _answer
        if waiting:
            self._answer(waiting)

    def _answer(self, batch: list[Waiting]) -> None:
        """Run a batch. An error refers to this frame and to its callers, and tickets refer to the error: where one is
        given to them, no frame may hold it or them any longer, or a cycle would keep the rows of all.
        """
        began = perf_counter_ns()
        ran = self._run_together([one[0] for one in batch])
        if isinstance(ran, Exception):
            self._answer_one_by_one(batch, ran)
            del ran
            return
        results, ready, done = ran
        waited, end = 0, 0
        for rows, ticket, since in batch:
            start, end = end, end + len(rows)
            waited += began - since
            ticket.set_result(results[start:end])
        self._ran(Execution(end, len(batch), waited, ready - began, done - ready, perf_counter_ns() - done))

    def _run_together(self, pieces: list[Array]) -> tuple[Array, int, int] | Exception:
        """Results, when they were begun and when they were ready; or the error."""
        try:
            gathered = np.concatenate(pieces) if len(pieces) > 1 else pieces[0]
            ready = perf_counter_ns()
            return self._run(gathered), ready, perf_counter_ns()
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            return error

    def _answer_one_by_one(self, batch: list[Waiting], error: Exception) -> None:
        """Run each request of a failed batch alone, so that only the faulty one fails; but not after a time-out.

        Empties the list.
        """
        if len(batch) == 1 or isinstance(error, RunTimeout):
            while batch:
                batch.pop()[1].set_exception(error)
            return
        while batch:
            self._answer([batch.pop(0)])

    # -- big arrays: in a thread ----------------------------------------------------------------------------

    async def _run_in_thread(self, rows: Array) -> Array:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "big-arrays", initializer=give_way)
        gone, since, loop = threading.Event(), perf_counter_ns(), asyncio.get_running_loop()
        try:
            results, runs = await loop.run_in_executor(self._thread, self._run_pieces, rows, gone, since)
        finally:
            gone.set()
        for run in runs:
            self._ran(run)
        return results

    def _run_pieces(self, rows: Array, gone: threading.Event, since: int) -> tuple[Array, list[Execution]]:
        results, runs = [], []
        waited = perf_counter_ns() - since
        for start in range(0, len(rows), self._piece_rows):
            if gone.is_set():  # the caller has disconnected: skip the rest
                break
            began = perf_counter_ns()
            results.append(self._run(rows[start : start + self._piece_rows]))
            runs.append(Execution(len(results[-1]), 1, 0 if start else waited, 0, perf_counter_ns() - began, 0))
        return np.concatenate(results), runs
