"""The folder that the workers of one service share: a new one for every start, removed at its end.

In DIGITS_RUN_DIR each service has a folder of its own, so that nothing of an earlier run is taken for this one's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from service.errors import DigitsError
from service.settings import Settings

PREFIX = "digits-"
LOCK = "lock"
HARMLESS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC  # a pipe would wait for whoever writes to it
MEMORY = Path("/dev/shm")


@contextmanager
def run_folder(settings: Settings) -> Iterator[Path | None]:
    """The folder, for as long as the service runs.

    Yields:
        The folder; None where nothing is shared: one worker, and no DIGITS_RUN_DIR.

    Raises:
        DigitsError: it cannot be created; the sentence says why and what to do.
    """
    if settings.run_dir is None and settings.workers == 1:
        yield None
        return
    with _within(settings.run_dir) if settings.run_dir else _anywhere() as name:
        folder = Path(name)
        with _locked(folder):
            yield folder


def _within(run_dir: Path) -> TemporaryDirectory[str]:
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(run_dir)
        return TemporaryDirectory(prefix=PREFIX, dir=run_dir, ignore_cleanup_errors=True)
    except OSError as error:
        raise DigitsError(
            f"DIGITS_RUN_DIR is {run_dir}, and no folder can be created there ({error.strerror}). "
            "Name a folder that can be written to, or none."
        ) from None


def _anywhere() -> TemporaryDirectory[str]:
    """In the usual place or, if the root file system is read-only or full, in memory."""
    for place in (None, MEMORY):
        with suppress(OSError):
            return TemporaryDirectory(prefix=PREFIX, dir=place, ignore_cleanup_errors=True)
    raise DigitsError(
        "several workers share a folder, and there is none to write to. Mount a tmpfs on /tmp, or set "
        "DIGITS_RUN_DIR or DIGITS_WORKERS=1."
    )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock, which the kernel releases however this process ends: an unlocked folder is a leftover."""
    new, descriptor = folder / f"{LOCK}.new", -1
    with suppress(OSError):  # some file systems have no locks; leftovers then stay
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        new.rename(folder / LOCK)
    try:
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _remove_leftovers(run_dir: Path) -> None:
    """Of services of this user that were killed: 4 MB per worker, with the defaults."""
    for lock in run_dir.glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError), open(os.open(lock, HARMLESS), "rb") as file:
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() == os.stat(lock.parent).st_uid:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
