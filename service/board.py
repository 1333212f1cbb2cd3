"""Where the workers of one service pin up what the others must know: a small file each, renewed every second.

A worker writes only its own file and reads all: counters, and which version it serves. A file that nobody renews
belongs to a worker that died; its counters still count, the rest is forgotten. With one worker there are no files.
Models that were unloaded are an empty file each, <name>.unloaded, which any worker may put up and take away.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

ALIVE_SECONDS = 5.0

Note = dict[str, Any]


def trial_counts(notes: list[Note], name: str, plan_id: str) -> dict[str, int]:
    """What all workers together saw of one trial."""
    trials = [note["trials"].get(name) for note in notes]
    seen = [counts for counts in trials if counts and counts["id"] == plan_id]
    return {key: sum(counts[key] for counts in seen) for key in ("requests", "errors", "compared", "disagreed")}


class Board:
    """The board of one service.

    Args:
        folder: shared by all workers and empty when the service starts; None for a worker that is alone.
        note: called to learn what to pin up.
    """

    def __init__(self, folder: Path | None, note: Callable[[], Note]) -> None:
        self._folder = folder
        self._note = note
        self._started = time.time()
        self._unloaded: set[str] = set()

    def pin(self) -> None:
        """Write our file anew, whole or not at all."""
        if self._folder is None:
            return
        path = self._folder / f"{os.getpid()}-{self._started:.6f}.json"
        beside = path.with_suffix(".new")
        beside.write_bytes(orjson.dumps(self._mine(), option=orjson.OPT_NON_STR_KEYS))
        beside.replace(path)

    def all(self) -> list[Note]:
        """The notes of every worker that ever was, ours up to date; `alive` says which are."""
        mine = self._mine()
        others = [note for note in self._others() if (note["pid"], note["started"]) != (mine["pid"], mine["started"])]
        return [mine, *others]

    def alive(self) -> list[Note]:
        """The notes of the workers that run now, by process id."""
        return sorted((note for note in self.all() if note["alive"]), key=lambda note: int(note["pid"]))

    def unload(self, name: str) -> None:
        """Say that no worker shall serve this model."""
        self._unloaded.add(name)
        if self._folder:
            (self._folder / f"{name}.unloaded").touch()

    def load(self, name: str) -> None:
        """Say that all workers shall serve it again."""
        self._unloaded.discard(name)
        if self._folder:
            (self._folder / f"{name}.unloaded").unlink(missing_ok=True)

    def unloaded(self) -> set[str]:
        """Names of the models that no worker shall serve."""
        return {path.stem for path in self._folder.glob("*.unloaded")} if self._folder else set(self._unloaded)

    def _mine(self) -> Note:
        return {"pid": os.getpid(), "started": self._started, "updated": time.time(), "alive": True, **self._note()}

    def _others(self) -> list[Note]:
        notes = []
        for path in sorted(self._folder.glob("*.json")) if self._folder else []:
            note = orjson.loads(path.read_bytes())
            notes.append(note | {"alive": time.time() - note["updated"] < ALIVE_SECONDS})
        return notes
