"""The table of corrected digits: its SQL, and how an old file gets it."""

from __future__ import annotations

import sqlite3

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
PREDICTED, PREDICTED_0_1_0 = "predicted", "said"  # the column's name now, and in files of version 0.1.0


def prepare(database: sqlite3.Connection) -> None:
    """Create the table, or bring that of version 0.1.0 up to date. The caller holds the write lock."""
    database.execute(TABLE)
    if PREDICTED_0_1_0 in columns(database):
        database.execute(f"ALTER TABLE digits RENAME COLUMN {PREDICTED_0_1_0} TO {PREDICTED}")


def columns(database: sqlite3.Connection) -> set[str]:
    """Names of the table's columns; empty if there is no table."""
    return {column[1] for column in database.execute("PRAGMA table_info(digits)")}


def is_empty(database: sqlite3.Connection) -> bool:
    """Whether the file holds no table at all: it was just created."""
    return not database.execute("SELECT 1 FROM sqlite_master").fetchone()
