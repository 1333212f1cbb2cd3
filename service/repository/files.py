"""Files that are read while they are written: whole or not at all, and on disk before anybody is told."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def listing(folder: Path) -> list[str]:
    """Names in a folder; none where it is no folder or must not be read."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []


def write(path: Path, data: bytes) -> None:
    """Write a file and flush it to disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush(folder: Path) -> None:
    """Flush a folder's entries to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader finds the old content or the new, never a part."""
    beside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        write(beside, data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    flush(path.parent)
