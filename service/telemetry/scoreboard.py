"""State that the workers of one service share: each writes one file (counters, served versions), every second and
whenever another one asks (publish_requests.py).

A worker writes only its own file and reads all: counters, and which version it serves. Times are of the monotonic
clock, which all processes of a machine share and nobody sets. The supervisor takes away the files of workers that have
ended and keeps their counters (retired.py). With one worker there are no files.
Models that were unloaded are an empty file each, <name>.unloaded, which any worker may create and remove.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import orjson

from service.errors import Unavailable
from service.telemetry.publish_requests import PublishRequests
from service.telemetry.retired import WorkerState as WorkerState
from service.telemetry.retired import read, retired

log = logging.getLogger("service")

ALIVE_SECONDS = 5.0
OTHERS_S, OTHERS_POLL_S = ALIVE_SECONDS + 1, 0.05  # what a dead worker published counts for as long as that


def rollout_counts(states: list[WorkerState], name: str, plan_id: str) -> dict[str, int]:
    """The counts of one rollout, summed over all workers."""
    counts_of_all = [state["trials"].get(name) for state in states]
    seen = [counts for counts in counts_of_all if counts and counts["id"] == plan_id]
    return {key: sum(counts[key] for counts in seen) for key in ("requests", "errors", "compared", "disagreed")}


class Scoreboard:
    """The scoreboard of one service.

    Args:
        folder: shared by all workers, empty when the service starts; None for a single worker. It is created again
            where it disappears.
        state: returns the state of this worker that is to be published.
    """

    def __init__(self, folder: Path | None, state: Callable[[], WorkerState]) -> None:
        self._folder = folder
        self._state = state
        self._started = time.time()
        name = f"{os.getpid()}-{self._started:.6f}"
        self._name = f"{name}.json"
        self._requests = PublishRequests(folder, name, self.publish)
        self._unloaded: set[str] = set()
        self._failing = False

    def publish(self) -> None:
        """Write our file anew, whole or not at all. A failure is logged once, and the next call tries again."""
        if self._folder is None:
            return
        try:
            self._write(self._folder)
        except OSError as error:
            if not self._failing:
                log.warning("The state of this worker cannot be written (%s); tried again every second", error)
            self._failing = True
            return
        if self._failing:
            log.info("The state of this worker is written again")
        self._failing = False

    def listen(self) -> None:
        """Within the loop: publish, now and whenever another worker asks. Called every second."""
        self._requests.listen()
        self.publish()

    def close(self) -> None:
        """Within the loop: write the last state, and be asked no more."""
        self.publish()
        self._requests.close()

    async def refresh(self) -> None:
        """Have all workers publish now: whatever a client was answered before this call is in the states after it."""
        await self._requests.all()

    def all(self) -> list[WorkerState]:
        """The states of all workers, as published last; `alive` says which run. Those that have ended are one state."""
        return [self._mine(), *self._others()]

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
        """Tell all workers not to serve this model. Raises Unavailable where the others cannot be told."""
        if self._folder:
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                (self._folder / f"{name}.unloaded").touch()
            except OSError as error:
                raise Unavailable(
                    f"The other workers cannot be told to unload {name} ({error.strerror}): "
                    f"make room in {self._folder}, which they share."
                ) from None
        self._unloaded.add(name)

    def load(self, name: str) -> None:
        """Tell all workers to serve this model again."""
        self._unloaded.discard(name)
        if self._folder:
            (self._folder / f"{name}.unloaded").unlink(missing_ok=True)

    def unloaded(self) -> set[str]:
        """Names of the models that no worker may serve."""
        if self._folder:
            with suppress(OSError):  # the folder cannot be listed now: what was known a moment ago
                self._unloaded = {path.stem for path in self._folder.glob("*.unloaded")}
        return set(self._unloaded)

    def _write(self, folder: Path) -> None:
        temporary = folder / f"{self._name}.new"
        content = orjson.dumps(self._mine(), option=orjson.OPT_NON_STR_KEYS)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_bytes(content)
            temporary.replace(folder / self._name)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise

    def _mine(self) -> WorkerState:
        identity = {"pid": os.getpid(), "started": self._started, "updated": time.monotonic(), "alive": True}
        return identity | self._state()

    def _others(self) -> list[WorkerState]:
        """Files first, then the sum: a worker that retires meanwhile is neither missed nor counted twice."""
        if self._folder is None:
            return []
        paths: list[Path] = []
        with suppress(OSError):  # the folder cannot be listed now
            paths = sorted(self._folder.glob("*.json"))
        found = {path.name: read(path) for path in paths if path.name != self._name}
        total, names = retired(self._folder)
        states = [state | {"alive": _recent(state)} for name, state in found.items() if state and name not in names]
        return states + ([total] if total else [])


def _recent(state: WorkerState) -> bool:
    age: float = time.monotonic() - state["updated"]
    return 0 <= age < ALIVE_SECONDS
