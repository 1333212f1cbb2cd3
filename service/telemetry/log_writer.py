"""Writes log lines to standard error in a thread of its own, so that a reader who does not read blocks nothing else.

Lines wait in memory up to a limit. Beyond it, and where a write fails, they are dropped and counted; the next line that
can be written is followed by one that says how many are missing.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
from contextlib import suppress

log = logging.getLogger("service")

MAX_BYTES = 4 * 2**20  # that wait; as many again may be in the write that is in progress
STDERR = 2
POLL_MS = 1000


class LogWriter:
    """`put()` never waits. The thread starts with the first line.

    Args:
        descriptor: what is written to.
        max_bytes: of lines that wait.

    Attributes:
        dropped: lines that were not written.
    """

    def __init__(self, descriptor: int = STDERR, max_bytes: int = MAX_BYTES) -> None:
        self.dropped = 0
        self._told = 0
        self._descriptor = descriptor
        self._max_bytes = max_bytes
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._writing = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, lines: str) -> None:
        """Queue whole lines, each with its end; drop and count them where too many wait already."""
        data = lines.encode("utf-8", "backslashreplace")
        with self._changed:
            if self._bytes + len(data) > self._max_bytes or (self._descriptor == STDERR and sys.stderr is None):
                self.dropped += data.count(b"\n")
                return
            self._waiting.append(data)
            self._bytes += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def drop(self, lines: int) -> None:
        """Count lines that somebody else did not keep."""
        with self._changed:
            self.dropped += lines
            self._told += lines

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is written, for at most so many seconds. Whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._writing, timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                data, self._waiting, self._bytes = b"".join(self._waiting), [], 0
                self._writing = True
            missing = self._write(data)
            with self._changed:
                self.dropped += missing
                lost, self._told = (0, self._told) if missing else (self.dropped - self._told, self.dropped)
            if lost:  # before `_writing` ends, so that flush() waits for this line too
                log.warning("%d log lines were dropped: standard error did not take them", lost)
            with self._changed:
                self._writing = False
                self._changed.notify_all()

    def _write(self, data: bytes) -> int:
        """Write all, however long that takes. The number of lines that failed."""
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # whoever shares the pipe or terminal has made it non-blocking
                self._wait()
            except OSError:  # a full disk, a reader that has gone
                return data.count(b"\n")
        return 0

    def _wait(self) -> None:
        with suppress(OSError):
            ready = select.poll()
            ready.register(self._descriptor, select.POLLOUT)
            ready.poll(POLL_MS)
