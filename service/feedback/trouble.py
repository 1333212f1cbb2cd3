"""Why the feedback file cannot be used: errors of SQLite and of the system as a reason that an operator understands."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

FOREIGN = "it is a database of something else ({}); set DIGITS_FEEDBACK_PATH to another file"
DAMAGED = "it is damaged, or no SQLite file; move it away, and a new one is made"
LOCKED = "another process holds its lock"
FULL = "its disk is full; make room"
BROKEN = "its disk reports an error ({})"
TOO_MANY_FILES = "the process has too many open files; raise the limit (ulimit -n)"
FILES = 6  # the file, its log and index, their folder, and two to spare
PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
REASONS = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_NOTADB: DAMAGED,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_ERROR: FOREIGN,  # no such column
    sqlite3.SQLITE_CONSTRAINT: FOREIGN,
    sqlite3.SQLITE_MISMATCH: FOREIGN,
}


def is_locked(error: BaseException) -> bool:
    """Whether the error passes as soon as another process has finished."""
    return _code(error) in PASSING or isinstance(error, BlockingIOError)


def reason(error: Exception, path: Path) -> str:
    """What is wrong with the file and what to do, as the end of a sentence. It names no path: callers read it too.

    Args:
        error: of SQLite or of the system.
        path: the feedback file.
    """
    if is_locked(error):
        return LOCKED
    known = REASONS.get(_code(error)) or _reason_of_place(path) or BROKEN
    return known.format(error.strerror if isinstance(error, OSError) else error)


def _code(error: BaseException) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF  # the upper bits only tell kinds of one code apart


def _reason_of_place(path: Path) -> str:
    """SQLite says no more than "unable to open database file": look for the reason; empty if none is found."""
    folder = path.absolute().parent
    with suppress(OSError):
        return _out_of_files() or _reason_of_folder(folder) or _reason_of_file(path) or _reason_of_disk(folder)
    return ""


def _out_of_files() -> str:
    """Try to open as many files as a transaction may need: its own are closed by now."""
    opened = []
    try:
        for _ in range(FILES):
            opened.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return TOO_MANY_FILES if error.errno in (errno.EMFILE, errno.ENFILE) else ""
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return ""


def _reason_of_folder(folder: Path) -> str:
    if not folder.is_dir():
        return "its folder does not exist; create it, or mount the volume"
    if not os.access(folder, os.W_OK | os.X_OK):
        return "its folder is read-only; DIGITS_FEEDBACK_PATH must be a file in a folder that the service may write"
    return ""


def _reason_of_file(path: Path) -> str:
    if path.is_dir():
        return "it is a folder; DIGITS_FEEDBACK_PATH must be a file"
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        return "the service may not read and write it; change its permissions or owner"
    return ""


def _reason_of_disk(folder: Path) -> str:
    disk = os.statvfs(folder)
    return FULL if disk.f_blocks and not disk.f_bavail else ""
