"""State that the workers of one service share: each writes one file every second (counters, served versions).

A worker writes only its own file and reads all. A file that is no longer updated belongs to a worker that died: its
counters still count, the rest is ignored. A single worker uses no files. Each unloaded model is an empty file
<name>.unloaded, which any worker creates or removes.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

ALIVE_SECONDS = 5.0
OTHERS_S, OTHERS_POLL_S = ALIVE_SECONDS + 1, 0.05  # what a dead worker published counts for as long as that

WorkerState = dict[str, Any]


def rollout_counts(states: list[WorkerState], name: str, plan_id: str) -> dict[str, int]:
    """The counts of one rollout, summed over all workers."""
    counts_of_all = [state["trials"].get(name) for state in states]
    seen = [counts for counts in counts_of_all if counts and counts["id"] == plan_id]
    return {key: sum(counts[key] for counts in seen) for key in ("requests", "errors", "compared", "disagreed")}


class Scoreboard:
    """The scoreboard of one service.

    Args:
        folder: shared by all workers, empty when the service starts; None for a single worker.
        state: returns the state of this worker that is to be published.
    """

    def __init__(self, folder: Path | None, state: Callable[[], WorkerState]) -> None:
        self._folder = folder
        self._state = state
        self._started = time.time()
        self._unloaded: set[str] = set()

    def publish(self) -> None:
        """Rewrite this worker's file atomically."""
        if self._folder is None:
            return
        path = self._folder / f"{os.getpid()}-{self._started:.6f}.json"
        temporary = path.with_suffix(".new")
        temporary.write_bytes(orjson.dumps(self._mine(), option=orjson.OPT_NON_STR_KEYS))
        temporary.replace(path)

    def all(self) -> list[WorkerState]:
        """The states of all workers, dead ones too; that of this worker is current. `alive` tells them apart."""
        mine = self._mine()
        others = [
            state for state in self._others() if (state["pid"], state["started"]) != (mine["pid"], mine["started"])
        ]
        return [mine, *others]

    def alive(self) -> list[WorkerState]:
        """The states of the running workers, sorted by process id."""
        return sorted((state for state in self.all() if state["alive"]), key=lambda state: int(state["pid"]))

    async def wait_until_all(self, done: Callable[[WorkerState], bool]) -> None:
        """Wait until all living workers have published that it is done; not for ever, since one may hang."""
        with suppress(TimeoutError):
            async with asyncio.timeout(OTHERS_S):
                while not all(map(done, self.alive())):  # noqa: ASYNC110 - other processes are waited for
                    await asyncio.sleep(OTHERS_POLL_S)

    def unload(self, name: str) -> None:
        """Tell all workers not to serve this model."""
        self._unloaded.add(name)
        if self._folder:
            (self._folder / f"{name}.unloaded").touch()

    def load(self, name: str) -> None:
        """Tell all workers to serve this model again."""
        self._unloaded.discard(name)
        if self._folder:
            (self._folder / f"{name}.unloaded").unlink(missing_ok=True)

    def unloaded(self) -> set[str]:
        """Names of the models that no worker may serve."""
        return {path.stem for path in self._folder.glob("*.unloaded")} if self._folder else set(self._unloaded)

    def _mine(self) -> WorkerState:
        return {"pid": os.getpid(), "started": self._started, "updated": time.time(), "alive": True, **self._state()}

    def _others(self) -> list[WorkerState]:
        states = []
        for path in sorted(self._folder.glob("*.json")) if self._folder else []:
            state = orjson.loads(path.read_bytes())
            states.append(state | {"alive": time.time() - state["updated"] < ALIVE_SECONDS})
        return states
