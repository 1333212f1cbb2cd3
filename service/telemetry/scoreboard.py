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

WorkerState = dict[str, Any]


def rollout_counts(states: list[WorkerState], name: str, plan_id: str) -> dict[str, int]:
    """What all workers together saw of one trial."""
    trials = [state["trials"].get(name) for state in states]
    seen = [counts for counts in trials if counts and counts["id"] == plan_id]
    return {key: sum(counts[key] for counts in seen) for key in ("requests", "errors", "compared", "disagreed")}


class Scoreboard:
    """The scoreboard of one service.

    Args:
        folder: shared by all workers and empty when the service starts; None for a worker that is alone.
        state: called to learn what to pin up.
    """

    def __init__(self, folder: Path | None, state: Callable[[], WorkerState]) -> None:
        self._folder = folder
        self._state = state
        self._started = time.time()
        self._unloaded: set[str] = set()

    def publish(self) -> None:
        """Write our file anew, whole or not at all."""
        if self._folder is None:
            return
        path = self._folder / f"{os.getpid()}-{self._started:.6f}.json"
        beside = path.with_suffix(".new")
        beside.write_bytes(orjson.dumps(self._mine(), option=orjson.OPT_NON_STR_KEYS))
        beside.replace(path)

    def all(self) -> list[WorkerState]:
        """The states of every worker that ever was, ours up to date; `alive` says which are."""
        mine = self._mine()
        others = [
            state for state in self._others() if (state["pid"], state["started"]) != (mine["pid"], mine["started"])
        ]
        return [mine, *others]

    def alive(self) -> list[WorkerState]:
        """The states of the workers that run now, by process id."""
        return sorted((state for state in self.all() if state["alive"]), key=lambda state: int(state["pid"]))

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

    def _mine(self) -> WorkerState:
        return {"pid": os.getpid(), "started": self._started, "updated": time.time(), "alive": True, **self._state()}

    def _others(self) -> list[WorkerState]:
        states = []
        for path in sorted(self._folder.glob("*.json")) if self._folder else []:
            state = orjson.loads(path.read_bytes())
            states.append(state | {"alive": time.time() - state["updated"] < ALIVE_SECONDS})
        return states
