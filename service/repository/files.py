"""Atomic file writes: readers see the old content or the new, and it is on disk before the call returns."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path


def listing(folder: Path) -> list[str]:
    """Names of the entries of a folder; empty if it does not exist, is a file or is not readable."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def is_folder(path: Path) -> bool:
    """Whether this is a folder, or a link to one; False where that cannot be found out."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError:
        return False


def write(path: Path, data: bytes) -> None:
    """Write a file and flush it to disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush(folder: Path) -> None:
    """Flush a folder to disk, so that its new and renamed entries survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically: through a temporary file in the same folder, flushed and renamed."""
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        write(temporary, data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    flush(path.parent)
