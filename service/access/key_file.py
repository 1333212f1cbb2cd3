"""The file of API keys: names, scopes and SHA-256 of each key, never the key. The same as text, for the environment."""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import DigitsError
from service.repository.files import replace

MAX_FILE_BYTES = 2**20
MAKE = "python -m service keys add NAME makes one"
NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}"
ENTRY = re.compile(rf"({NAME}):([a-z+]+):([0-9a-f]{{64}})", re.ASCII)


class Entry(BaseModel):
    """One key, as the file holds it."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=rf"^{NAME}$")]
    scopes: Annotated[list[Literal["predict", "feedback", "admin"]], Field(min_length=1, max_length=3)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created: date | None = None
    expires: date | None = None

    def as_text(self) -> str:
        """For DIGITS_KEYS: NAME:SCOPE+SCOPE:SHA256."""
        return f"{self.name}:{'+'.join(self.scopes)}:{self.sha256}"


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[Entry]


def read(path: Path) -> list[Entry]:
    """The keys in a file.

    Raises:
        DigitsError: it does not exist, is no regular file, is too large, or holds anything but keys.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # a pipe would wait
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise DigitsError(f"the file of keys is no regular file; {MAKE}.")
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        why = (error.strerror or "unknown").lower()
        raise DigitsError(f"the file of keys cannot be read ({why}); {MAKE}.") from None
    if len(data) > MAX_FILE_BYTES:
        raise DigitsError(f"the file of keys has more than {MAX_FILE_BYTES:,} bytes.")
    try:
        found = _File.model_validate_json(data).keys
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, wrong["loc"])) or "the whole"
        raise DigitsError(f"the file of keys is damaged at {where} ({wrong['msg']}); {MAKE}.") from None
    _check_names(found)
    return found


@contextmanager
def changed(path: Path) -> Iterator[list[Entry]]:
    """The keys of a file, or none where there is no file yet; what the caller made of the list is written at the end.

    Others that change the same file wait.
    """
    path = Path(os.path.realpath(path))
    try:
        handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise DigitsError(f"{path.parent} cannot be opened ({(error.strerror or 'unknown').lower()}).") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        entries = read(path) if path.exists() else []
        yield entries
        try:
            replace(path, _File(keys=entries).model_dump_json(indent=2, exclude_none=True).encode() + b"\n")
        except OSError as error:
            raise DigitsError(f"{path} cannot be written ({(error.strerror or 'unknown').lower()}).") from None
    finally:
        os.close(handle)


def entries_of_text(text: str) -> list[Entry]:
    """The keys in DIGITS_KEYS. Raises DigitsError, which does not show the text."""
    found = []
    for number, word in enumerate(text.replace("\n", ",").split(","), 1):
        if not word.strip():
            continue
        parts = ENTRY.fullmatch(word.strip())
        try:
            name, scopes, sha256 = parts.groups() if parts else ("", "", "")
            found.append(Entry(name=name, scopes=scopes.split("+"), sha256=sha256))
        except ValidationError:
            raise DigitsError(
                f"entry {number} of DIGITS_KEYS is no NAME:SCOPE+SCOPE:SHA256; python -m service keys add NAME "
                "--environment makes one."
            ) from None
    _check_names(found)
    return found


def _check_names(entries: Iterable[Entry]) -> None:
    names = [entry.name for entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DigitsError(f"two keys have the name {twice[0]}; each needs its own.")
