"""The SQLite file of corrected digits: opened on first use, and again after any error or when it was moved away."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from service.errors import FeedbackUnavailable
from service.feedback.trouble import reason

CANNOT_BE_USED = "The feedback file cannot be used: {}."


class FeedbackFile:
    """One file and at most one connection that writes to it. Use it from one thread.

    Args:
        path: created by `connected`, if it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None  # of the file that the connection has open

    def connected(self) -> sqlite3.Connection:
        """The connection that writes. Raises sqlite3.Error or OSError; BlockingIOError if another process opens it."""
        if self._connection and not self.in_place():
            self.close()
        if not self._connection:
            self._connection = self._open()
        return self._connection

    def in_place(self) -> bool:
        """Whether the path leads to the file that is open; no longer if it was moved or deleted."""
        with suppress(OSError):
            return _identity(self.path) == self._identity
        return False

    def close(self) -> None:
        """Close the file. If no other process has it open, it is then complete, to be copied or moved."""
        database, self._connection = self._connection, None
        with suppress(sqlite3.Error):
            if database:
                with closing(database):
                    _finish(database, self.in_place())

    @contextmanager
    def reading(self, timeout_s: float) -> Iterator[sqlite3.Connection | None]:
        """A connection that cannot write, and sees one state of the file. None if there is no file.

        Args:
            timeout_s: how long to wait while another process has locked the whole file.

        Raises:
            FeedbackUnavailable: it cannot be read.
        """
        with self.reported(CANNOT_BE_USED):
            if not self.path.exists():
                yield None
                return
            address = self.path.absolute().as_uri() + "?mode=rw"  # rw, or it would leave its log behind; never creates
            with closing(sqlite3.connect(address, uri=True, timeout=timeout_s, isolation_level=None)) as database:
                database.execute("PRAGMA query_only = ON")
                database.execute("BEGIN")
                yield database

    @contextmanager
    def reported(self, sentence: str) -> Iterator[None]:
        """Raise errors of SQLite and of the system as FeedbackUnavailable, and close the file.

        Args:
            sentence: with a place {} for the reason.
        """
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise FeedbackUnavailable(sentence.format(reason(error, self.path))) from None

    def _open(self) -> sqlite3.Connection:
        with _one_at_a_time(self.path.absolute().parent):
            if not self.path.exists():  # a file that was moved away may have left these, and SQLite would use them
                for suffix in ("-wal", "-shm"):
                    Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            database = sqlite3.connect(self.path, timeout=0, isolation_level=None)
            try:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")  # committed means on disk, even after a power cut
                self._identity = _identity(self.path)
            except BaseException:
                database.close()
                raise
        return database


def _finish(database: sqlite3.Connection, in_place: bool) -> None:
    if database.in_transaction:
        database.execute("ROLLBACK")
    if not in_place:  # SQLite moves its log into the file when it closes it, but not into a moved file
        database.execute("PRAGMA wal_checkpoint")


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold an advisory lock on the folder. Raises BlockingIOError while another process holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
