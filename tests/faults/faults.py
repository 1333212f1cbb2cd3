"""Switches the faults of shim.c on and off, in programs that were started with `environ`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Faults:
    """Faults below some folders.

    Args:
        library: shim.c, compiled.
        control: the file that programs with the library read at every call.
        folders: where calls are touched.
    """

    def __init__(self, library: Path, control: Path, *folders: Path) -> None:
        self._library = library
        self._control = control
        self._folders = folders
        self.clear()

    @property
    def environ(self) -> dict[str, str]:
        """What a program must be started with."""
        below = ":".join(map(str, self._folders))
        return {"LD_PRELOAD": str(self._library), "LD_FAULTS_CONTROL": str(self._control), "LD_FAULTS_BELOW": below}

    def set(self, *lines: str) -> None:
        """Replace all faults: `fail 5 open`, `hang 0 all`, ... as shim.c has them."""
        new = self._control.with_suffix(".new")
        new.write_text("".join(f"{line}\n" for line in lines))
        new.replace(self._control)

    def clear(self) -> None:
        self.set()

    @contextmanager
    def during(self, *lines: str) -> Iterator[None]:
        self.set(*lines)
        try:
            yield
        finally:
            self.clear()
