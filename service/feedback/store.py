"""Corrected digits, kept for retraining: one SQLite file, one row per digit. Training reads it too. Knows no HTTP.

Any number of processes may share the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import Conflict, FeedbackFull, FeedbackUnavailable
from service.feedback.file import FeedbackFile
from service.feedback.table import PREDICTED, PREDICTED_0_1_0, UPSERT, columns, is_empty, prepare
from service.feedback.trouble import LOCKED, is_locked

POLL_S = 0.002  # between two tries to get the lock; SQLite's own waiting would starve one of two busy processes
LOCK_TIMEOUT_S = 10
READ_TIMEOUT_S = 1

NOT_STORED = "The feedback file cannot be used: {}. Nothing was stored; try again later."
IN_DOUBT = "The feedback file cannot be used: {}. The correction may be stored or not; sending it again does no harm."
MOVED = "it was moved away at this moment"

Outcome = bool | FeedbackFull | Conflict  # True: a new digit; False: the row of a known digit was updated


@dataclass(frozen=True)
class Correction:
    """A digit and its correct label; the model, its version and what it predicted, if known.

    Attributes:
        pixels: uint8 (28, 28).
        label: 0-9.
        replaces: whether it may take the place of another label; else the first one stands.
    """

    pixels: NDArray[np.uint8]
    label: int
    predicted: int | None = None
    model: str | None = None
    version: int | None = None
    replaces: bool = False


class FeedbackStore:
    """The table of corrected digits. Use an instance from one thread; any number of processes may write.

    Args:
        path: the SQLite file; created on first use.
        max_rows: number of digits to keep; then new digits are rejected, and stored ones can still be relabelled.
    """

    def __init__(self, path: Path, max_rows: int = 100_000) -> None:
        self._file = FeedbackFile(path)
        self._max_rows = max_rows
        self._prepared: sqlite3.Connection | None = None  # the connection over which the table was found in order

    def add(self, correction: Correction) -> bool:
        """Store a correction; on disk when this returns. True if the digit is new, False if its row was updated.

        Raises:
            FeedbackFull: the file holds `max_rows` digits.
            Conflict: the digit has another label.
            FeedbackUnavailable: the file cannot be written, or another process holds its lock for 10 s.
        """
        deadline = monotonic() + LOCK_TIMEOUT_S
        while not self.lock():
            if monotonic() > deadline:
                raise FeedbackUnavailable(NOT_STORED.format(LOCKED))
            sleep(POLL_S)
        outcome = self.add_locked([correction])[0]
        if not isinstance(outcome, bool):
            raise outcome
        return outcome

    def lock(self) -> bool:
        """Try to begin a transaction, without waiting. False: another process has the file's write lock now.

        Raises:
            FeedbackUnavailable: the file cannot be written.
        """
        with self._file.reported(NOT_STORED):
            try:
                database = self._file.connected()
                database.execute("BEGIN IMMEDIATE")
            except (sqlite3.Error, OSError) as error:
                if not is_locked(error):
                    raise
                return False
            if database is not self._prepared:
                prepare(database)
                self._prepared = database
        return True

    def add_locked(self, corrections: Sequence[Correction]) -> list[Outcome]:
        """Store corrections, all in the transaction that `lock` began, and commit it; on disk when this returns.

        Returns:
            For each whether its digit is new, or the error of a digit for which there is no room or another label.

        Raises:
            FeedbackUnavailable: none is stored or, as the message says, that is in doubt.
        """
        database = self._prepared
        assert database, "call lock() first"
        with self._file.reported(NOT_STORED):
            outcomes = self._insert(database, corrections)
        with self._file.reported(IN_DOUBT):
            database.execute("COMMIT")
        if not self._file.in_place():
            self.close()
            raise FeedbackUnavailable(IN_DOUBT.format(MOVED))
        return outcomes

    def stats(self) -> dict[str, Any]:
        """Number of digits, in all and per label, and of those that the model had predicted wrongly (`corrected`).

        Raises:
            FeedbackUnavailable: the file cannot be read.
        """
        counts: dict[int, tuple[int, int]] = {}
        with self._file.reading(READ_TIMEOUT_S) as database:
            if database and not is_empty(database):
                predicted = PREDICTED_0_1_0 if PREDICTED_0_1_0 in columns(database) else PREDICTED
                query = f"SELECT label, count(*), total({predicted} <> label) FROM digits GROUP BY label"
                counts = {label: (digits, int(wrong)) for label, digits, wrong in database.execute(query)}
        return {
            "digits": sum(digits for digits, _ in counts.values()),
            "max_digits": self._max_rows,
            "corrected": sum(wrong for _, wrong in counts.values()),
            "by_label": [counts.get(label, (0, 0))[0] for label in range(10)],
        }

    def digits(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """All digits for training, oldest first: pixels uint8 (n, 28, 28) and labels uint8 (n,).

        Raises:
            FeedbackUnavailable: there is no such file, or it cannot be read.
        """
        with self._file.reading(LOCK_TIMEOUT_S) as database:
            if not database:
                name = self._file.path.name
                raise FeedbackUnavailable(
                    f"There is no feedback file {name}; it is created by the first POST /feedback."
                )
            query = "SELECT pixels, label FROM digits ORDER BY created, sha256"
            rows = [] if is_empty(database) else database.execute(query).fetchall()
        pixels = np.frombuffer(b"".join(row[0] for row in rows), np.uint8).reshape(-1, 28, 28)
        return pixels, np.array([row[1] for row in rows], np.uint8)

    def close(self) -> None:
        """Close the file. If no other process has it open, it is then complete, to be copied or moved."""
        self._file.close()
        self._prepared = None

    def _insert(self, database: sqlite3.Connection, corrections: Sequence[Correction]) -> list[Outcome]:
        rows = int(database.execute("SELECT count(*) FROM digits").fetchone()[0])
        outcomes: list[Outcome] = []
        for correction in corrections:
            outcome = self._insert_one(database, correction, rows)
            rows += outcome is True
            outcomes.append(outcome)
        return outcomes

    def _insert_one(self, database: sqlite3.Connection, c: Correction, rows: int) -> Outcome:
        pixels, now = c.pixels.tobytes(), datetime.now(UTC).isoformat(timespec="seconds")
        digest = sha256(pixels).digest()
        known = database.execute("SELECT label FROM digits WHERE sha256 = ?", (digest,)).fetchone()
        if known and known[0] != c.label and not c.replaces:
            return Conflict(
                f"This digit is stored as a {known[0]}, and the first label stands; an admin key can replace it."
            )
        if not known and rows >= self._max_rows:
            return FeedbackFull(
                f"The feedback file is full, with {self._max_rows:,} digits: retrain with it, then move it away."
            )
        database.execute(UPSERT, (digest, pixels, c.label, c.predicted, c.model, c.version, now, now))
        return not known
