"""Writes corrections in one thread, off the event loop: those that wait together share a transaction.

A correction is taken from the queue only when its transaction has the file's lock. So one whose deadline has passed
before is certainly never written, and of two corrections of a digit the one that was sent later wins.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Sized
from concurrent.futures import Future
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any, NamedTuple

from service.errors import DigitsError, FeedbackUnavailable
from service.feedback.patience import LOCKED_SO_LONG, RETRY_AFTER_S, STOPPING, Patience, result
from service.feedback.store import POLL_S, Correction, FeedbackStore, Outcome

log = logging.getLogger("service")

MAX_GROUP = 256  # corrections per transaction
TURN_S = 2 * POLL_S  # between two transactions, so that other processes get the lock
IDLE_S = 1  # then the file is closed

Counts = dict[str, Any]

QUEUE_FULL = "{:,} requests for the feedback file are waiting, and this one was refused. Try again in a second."
FAILED = (
    "The service failed to use the feedback file. A correction may be stored or not; sending it again does no harm."
)


class Waiting(NamedTuple):
    """A correction in the queue, and where its outcome goes. Cancelled: its caller has given up."""

    correction: Correction
    future: Future[Outcome | DigitsError]


class FeedbackWriter:
    """One process's access to the feedback file. Call it on the event loop.

    Args:
        store: the file; from now on used by the thread alone.
        max_queue: corrections that may wait.
        timeout_s: how long a correction, or a question for the counts, may take.
    """

    def __init__(self, store: FeedbackStore, max_queue: int, timeout_s: float) -> None:
        self._store = store
        self._max_queue = max_queue
        self._writes: deque[Waiting] = deque()
        self._reads: deque[Future[Counts | DigitsError]] = deque()
        self._changed = threading.Condition()  # guards both queues and the flag below
        self._closing = False
        self._ended: Future[None] = Future()
        self._thread: threading.Thread | None = None
        self._patience = Patience(timeout_s)
        self._next_turn = 0.0
        self._locked = self._failing = False

    async def add(self, correction: Correction) -> bool:
        """Store a correction; on disk when this returns. True if the digit is new, False if its row was updated.

        Raises:
            FeedbackFull: the file holds as many digits as it may.
            FeedbackUnavailable: it is not stored or, as the message says, that is in doubt.
        """
        return result(await self._patience.outcome(self._queued(correction), self._why_late))

    async def stats(self) -> Counts:
        """See FeedbackStore.stats. Raises FeedbackUnavailable."""
        return result(await self._patience.outcome(self._asked(), self._why_late))

    async def close(self) -> None:
        """Write what is queued and close the file; give up after `timeout_s` where the disk does not answer."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread:
            await self._patience.until_done(self._ended)

    def give_up(self) -> None:
        """From any thread: answer now what still waits. The process is about to stop, whatever the disk does."""
        self._patience.give_up()

    def _why_late(self) -> str:
        return LOCKED_SO_LONG if self._locked else ""

    def _queued(self, correction: Correction) -> Future[Outcome | DigitsError]:
        future: Future[Outcome | DigitsError] = Future()
        with self._admitted(self._writes):
            self._writes.append(Waiting(correction, future))
        return future

    def _asked(self) -> Future[Counts | DigitsError]:
        future: Future[Counts | DigitsError] = Future()
        with self._admitted(self._reads):
            self._reads.append(future)
        return future

    @contextmanager
    def _admitted(self, queue: Sized) -> Iterator[None]:
        """Hold the lock while the block adds to the queue, and wake the thread. Raises FeedbackUnavailable."""
        with self._changed:
            if self._closing:
                raise FeedbackUnavailable(STOPPING)
            if len(queue) >= self._max_queue:
                self._drop_cancelled()
            if len(queue) >= self._max_queue:
                raise FeedbackUnavailable(QUEUE_FULL.format(len(queue)))
            yield
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="feedback", daemon=True)
                self._thread.start()

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._wait():
            try:
                self._read()
                self._write()
            except Exception:
                log.exception("Using the feedback file failed; the next request opens it again")
                self._store.close()
                sleep(TURN_S)
        self._store.close()
        self._ended.set_result(None)

    def _wait(self) -> bool:
        """Wait for work. False at the end: closing, and nothing is queued."""
        if not self._woken(IDLE_S):
            self._store.close()  # not while holding the lock: the disk may be slow, and the event loop needs it
            self._woken(None)
        with self._changed:
            self._drop_cancelled()
            return bool(self._writes or self._reads or not self._closing)

    def _woken(self, timeout_s: float | None) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._writes or self._reads or self._closing), timeout_s)

    def _drop_cancelled(self) -> None:
        for _ in range(len(self._writes)):
            job = self._writes.popleft()
            if not job.future.cancelled():
                self._writes.append(job)
        for _ in range(len(self._reads)):
            future = self._reads.popleft()
            if not future.cancelled():
                self._reads.append(future)

    def _read(self) -> None:
        """One look at the file answers all that ask for its counts now."""
        with self._changed:
            asking = [future for future in self._reads if future.set_running_or_notify_cancel()]
            self._reads.clear()
        if asking:
            counts = self._counts()
            for future in asking:
                future.set_result(FeedbackUnavailable(counts, RETRY_AFTER_S) if isinstance(counts, str) else counts)

    def _counts(self) -> Counts | str:
        """The counts, or why there are none."""
        try:
            return self._store.stats()
        except FeedbackUnavailable as error:
            return str(error)
        except Exception:
            log.exception("Counting the stored feedback failed")
            return FAILED

    def _write(self) -> None:
        """Try once to write the next group: not at all while another process has the lock."""
        if not self._writes:
            return
        sleep(max(0.0, self._next_turn - monotonic()))
        try:
            self._locked = not self._store.lock()
        except FeedbackUnavailable as error:
            self._fail(self._claim(), str(error))
            return
        if self._locked:
            sleep(POLL_S)
            return
        self._write_group(self._claim())
        self._next_turn = monotonic() + TURN_S

    def _claim(self) -> list[Waiting]:
        """Take the next group from the queue; from now on their callers cannot cancel."""
        with self._changed:
            group = [self._writes.popleft() for _ in range(min(MAX_GROUP, len(self._writes)))]
        return [job for job in group if job.future.set_running_or_notify_cancel()]

    def _write_group(self, group: list[Waiting]) -> None:
        try:
            outcomes = self._store.add_locked([job.correction for job in group])
        except FeedbackUnavailable as error:
            self._fail(group, str(error))
            return
        except Exception:
            self._fail(group, FAILED)
            raise
        if self._failing:
            log.info("The feedback file can be written again")
            self._failing = False
        for job, outcome in zip(group, outcomes, strict=True):
            job.future.set_result(outcome)

    def _fail(self, group: list[Waiting], sentence: str) -> None:
        if not self._failing:
            log.warning("Feedback is not stored: %s", sentence)
            self._failing = True
        for job in group:
            job.future.set_result(FeedbackUnavailable(sentence, RETRY_AFTER_S))
