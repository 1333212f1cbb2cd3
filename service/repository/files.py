"""Atomic file writes: readers see the old content or the new, and it is on disk before the call returns."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.errors import Unavailable

# of a volume, or of a process that is short of something: the same call may succeed a moment later
PASSING = {
    *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EREMOTEIO),
    *(errno.ENXIO, errno.ENODEV, errno.ENOLCK, errno.EBUSY, errno.EAGAIN, errno.EINTR),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
}
RETRY_AFTER_S = 5


def is_passing(error: OSError) -> bool:
    """Whether this failure says nothing about the file: the volume is ill, or this process is short of something."""
    return error.errno in PASSING


@contextmanager
def passing_failures(what: str) -> Iterator[None]:
    """Raise Unavailable, naming `what`, in place of an OSError that may pass."""
    try:
        yield
    except OSError as error:
        if is_passing(error):
            raise Unavailable(f"{what} cannot be read now ({error.strerror}).", RETRY_AFTER_S) from None
        raise


def listing(folder: Path) -> list[str]:
    """Names of the entries of a folder; empty if it does not exist, is a file or is not readable."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def is_folder(path: Path) -> bool:
    """Whether this is a folder, or a link to one. Raises OSError where that cannot be found out."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
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


def identity(path: Path) -> tuple[int, ...] | None:
    """Compares equal while a file is the same and unchanged: inode, size and times; None if it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
