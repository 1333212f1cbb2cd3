"""Reads one file of the repository: a regular file inside the repository's own folder, of a limited size.

Links are followed, since version folders and Kubernetes volumes are made of them, but not out of the repository: what
stands there could be any file of this machine, and cards are published over HTTP. The folder of a model may itself be a
link to anywhere: who makes it says where the model is.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

MAX_CARD_BYTES = 4 * 2**20
MAX_MODEL_BYTES = 512 * 2**20


class NotInRepository(OSError):
    """A link leads out of the repository."""


class TooLarge(OSError):
    """The file is larger than it may be."""


def read_file(root: Path, path: Path, max_bytes: int) -> bytes:
    """The content of a file below `root`.

    Raises:
        NotInRepository: the file it leads to is not below `root`.
        TooLarge: it has more than `max_bytes`.
        OSError: it does not exist, is not a regular file, or cannot be read.
    """
    real = Path(os.path.realpath(path, strict=True))
    model = root / path.relative_to(root).parts[0]
    if not real.is_relative_to(os.path.realpath(root)) and not (
        model != path and real.is_relative_to(os.path.realpath(model))
    ):
        raise NotInRepository(f"{path.name} is a link out of the repository")
    # without waiting: opening a named pipe waits until somebody writes to it
    with open(os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(f"{path.name} is not a regular file")
        data = file.read(max_bytes + 1) if found.st_size <= max_bytes else b""
    if found.st_size > max_bytes or len(data) > max_bytes:
        raise TooLarge(f"{path.name} has more than {max_bytes:,} bytes")
    return data


def reason(error: Exception) -> str:
    """Why a file cannot be read, as a clause without paths and positions."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "it is not JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else str(error)
