"""Corrected digits, kept for retraining: one SQLite file, one row per digit. Training reads it too. Knows no HTTP."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import FeedbackFull, FeedbackUnavailable

TABLE = """
CREATE TABLE IF NOT EXISTS digits (
    sha256   BLOB PRIMARY KEY,           -- of the pixels: a digit sent twice is one row
    pixels   BLOB NOT NULL,              -- 784 bytes, as the model saw them
    label    INTEGER NOT NULL CHECK (label BETWEEN 0 AND 9),
    predicted INTEGER,                   -- what the model predicted, if known
    model    TEXT,
    version  INTEGER,
    times    INTEGER NOT NULL DEFAULT 1, -- how often the digit was sent
    created  TEXT NOT NULL,
    updated  TEXT NOT NULL
) STRICT
"""
UPSERT = """
INSERT INTO digits (sha256, pixels, label, predicted, model, version, created, updated) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (sha256) DO UPDATE SET label = excluded.label, predicted = coalesce(excluded.predicted, predicted),
    model = coalesce(excluded.model, model), version = coalesce(excluded.version, version),
    times = times + 1, updated = excluded.updated
"""


@dataclass(frozen=True)
class Correction:
    """A digit and its correct label; the model, its version and what it predicted, if known.

    Attributes:
        pixels: uint8 (28, 28).
        label: 0-9.
    """

    pixels: NDArray[np.uint8]
    label: int
    predicted: int | None = None
    model: str | None = None
    version: int | None = None


class FeedbackStore:
    """The file of corrected digits. Use an instance from one thread at a time; any number of processes may write.

    Args:
        path: the SQLite file; created on first use.
        max_rows: number of digits to keep; then new digits are rejected, and stored ones can still be relabelled.
    """

    def __init__(self, path: Path, max_rows: int = 100_000) -> None:
        self._path = path
        self._max_rows = max_rows
        self._connection: sqlite3.Connection | None = None

    def add(self, correction: Correction) -> bool:
        """Store a correction; on disk when this returns. True if the digit is new, False if its row was updated.

        Raises:
            FeedbackFull: the file holds `max_rows` digits.
            FeedbackUnavailable: the file cannot be written.
        """
        pixels = correction.pixels.tobytes()
        digest, now = sha256(pixels).digest(), datetime.now(UTC).isoformat(timespec="seconds")
        with self._transaction() as database:
            known = database.execute("SELECT 1 FROM digits WHERE sha256 = ?", (digest,)).fetchone()
            if not known and self._count(database) >= self._max_rows:
                raise FeedbackFull(
                    f"The feedback file is full, with {self._max_rows:,} digits: retrain with it, then move it away."
                )
            c = correction
            database.execute(UPSERT, (digest, pixels, c.label, c.predicted, c.model, c.version, now, now))
        return not known

    def stats(self) -> dict[str, Any]:
        """Number of digits, in all and per label, and of those that the model had predicted wrongly (`corrected`)."""
        if not self._path.exists():
            return {"digits": 0, "max_digits": self._max_rows, "corrected": 0, "by_label": [0] * 10}
        with self._transaction() as database:
            by_label = dict(database.execute("SELECT label, count(*) FROM digits GROUP BY label").fetchall())
            wrong = database.execute("SELECT count(*) FROM digits WHERE predicted <> label")
            return {
                "digits": sum(by_label.values()),
                "max_digits": self._max_rows,
                "corrected": wrong.fetchone()[0],
                "by_label": [by_label.get(label, 0) for label in range(10)],
            }

    def digits(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """All digits for training, oldest first: pixels uint8 (n, 28, 28) and labels uint8 (n,).

        Raises:
            FeedbackUnavailable: there is no such file, or it cannot be read.
        """
        if not self._path.exists():
            raise FeedbackUnavailable(
                f"There is no feedback file {self._path.name}; it is created by the first POST /feedback."
            )
        with self._transaction() as database:
            rows = database.execute("SELECT pixels, label FROM digits ORDER BY created, sha256").fetchall()
        pixels = np.frombuffer(b"".join(row[0] for row in rows), np.uint8).reshape(-1, 28, 28)
        return pixels, np.array([row[1] for row in rows], np.uint8)

    def close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            database = self._connection or self._open()
            with database:
                yield database
        except sqlite3.Error as error:
            advice = "DIGITS_FEEDBACK_PATH must be a file in a folder that the service may write"
            raise FeedbackUnavailable(f"The feedback file cannot be used ({error}); {advice}.") from None

    def _open(self) -> sqlite3.Connection:
        self._connection = sqlite3.connect(self._path, timeout=10, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")  # committed means on disk, even after a power cut
        self._connection.execute(TABLE)
        self._rename_old_column(self._connection)
        return self._connection

    def _rename_old_column(self, database: sqlite3.Connection) -> None:
        """In files of version 0.1.0 the column `predicted` is called `said`."""
        if "said" not in _columns(database):
            return
        with database:
            database.execute("BEGIN IMMEDIATE")
            if "said" in _columns(database):  # not renamed by another process meanwhile
                database.execute("ALTER TABLE digits RENAME COLUMN said TO predicted")

    def _count(self, database: sqlite3.Connection) -> int:
        return int(database.execute("SELECT count(*) FROM digits").fetchone()[0])


def _columns(database: sqlite3.Connection) -> set[str]:
    return {column[1] for column in database.execute("PRAGMA table_info(digits)")}
