"""Looks at the repository twice a second and brings the engine up to it: a new `current`, a rollout, its verdict.

All file calls are made in the thread of repository/volume.py, under a limit. A version is first tried out in a process
of its own (validation.py), then loaded beside the live one and swapped in by one assignment. One that fails for good
stays out until its files, or `current`, change; a try-out that was itself interrupted is repeated, later and later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from service.engine.engine import Engine
from service.engine.rollout import Rollout
from service.engine.validation import check
from service.engine.version import LoadedVersion
from service.errors import Conflict, DigitsError, NoSuchModel, Unavailable
from service.repository.rollout_plan import RolloutPlan
from service.repository.snapshot import Snapshot, names_and_troubles, snapshot
from service.repository.volume import Volume
from service.repository.writer import RepositoryWriter
from service.telemetry.scoreboard import ALIVE_SECONDS, Scoreboard, WorkerState, rollout_counts

log = logging.getLogger("service")

OTHERS_S, OTHERS_POLL_S = ALIVE_SECONDS + 1, 0.05  # what a dead worker published counts for as long as that
LOAD_S = WRITE_S = 60.0  # for reading a model file and making its session; for waiting for another writer
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 300.0
Signature = tuple[Any, ...]


class Watcher:
    """Follows the repository for one process.

    Args:
        engine: what is brought up to date.
        volume: makes the file calls.
        scoreboard: has the counts of all workers, on which a rollout is judged.
    """

    def __init__(self, engine: Engine, volume: Volume, scoreboard: Scoreboard) -> None:
        self._engine = engine
        self._volume = volume
        self._scoreboard = scoreboard
        self._repository = RepositoryWriter(engine.repository.root)
        self._busy = asyncio.Lock()
        self._rejected: dict[tuple[str, int], Signature] = {}
        self._retries: dict[tuple[str, int], tuple[float, float]] = {}  # when to try again, and the pause after that
        self._over: set[str] = set()  # rollouts that this process ended, though the repository cannot be written

    async def run(self) -> None:
        """Look until cancelled. Nothing that is found in the repository ends this."""
        while True:
            await asyncio.sleep(self._engine.settings.watch_interval_s)
            try:
                await self.look()
                self._set_trouble("")
            except Unavailable as error:
                self._set_trouble(str(error))
            except Exception:  # the last border of this task
                log.exception("looking at the model repository failed; the live versions serve on")

    def _set_trouble(self, trouble: str) -> None:
        """Say once that the folder cannot be read, and once that it can again."""
        if trouble and not self._engine.trouble:
            log.warning("%s The versions in memory serve on", trouble)
        elif self._engine.trouble and not trouble:
            log.info("The models folder can be read again")
        self._engine.trouble = trouble

    async def look(self) -> None:
        """Look once. Raises Unavailable where the models folder does not answer."""
        names, troubles = await self._volume.call(names_and_troubles, self._repository)
        live = self._engine.names()
        for name in troubles.keys() - live:
            self._reject(name, troubles[name])
        for name in sorted({*live, *names}):
            async with self._busy:
                if name in self._scoreboard.unloaded():
                    self._unload(name)
                    continue
                seen = await self._volume.call(snapshot, self._repository, name)
                await self._follow_current(name, seen, troubles.get(name, ""))
                await self._follow_plan(name, seen)
        self._forget({*names, *troubles, *self._engine.names()})

    async def unload(self, name: str) -> None:
        """Stop serving a model, in this worker and in the others, which see it when they look. Raises NoSuchModel."""
        if name not in self._engine.unloaded:
            self._engine.served(name)
        self._scoreboard.unload(name)
        async with self._busy:
            self._unload(name)
        await self._everywhere(lambda state: name not in state["live"])

    async def load(self, name: str) -> None:
        """Serve the promoted version of a model, whether it was unloaded or not, in this worker and in the others.

        Raises:
            NoSuchModel: nothing of that name is promoted.
            Conflict: the promoted version must not be served.
            Unavailable: the models folder does not answer.
        """
        names = await self._volume.call(self._repository.names)
        if name not in names:
            known = ", ".join(names) or "none"
            raise NoSuchModel(f"There is no model of that name to load; there are: {known}.")
        if "stable" not in await self._volume.call(self._repository.labels, name):
            raise NoSuchModel(f"No version of {name} is promoted, so that none can be loaded; promote one first.")
        self._scoreboard.load(name)
        await self.follow(name)
        version = self._engine.state()["live"].get(name)
        await self._everywhere(lambda state: state["live"].get(name) == version or name in state["refused"])

    async def follow(self, name: str) -> None:
        """Bring one model up to its `current` now.

        Raises:
            Conflict: the promoted version is rejected.
            Unavailable: the models folder does not answer.
        """
        if name in self._scoreboard.unloaded():
            return
        async with self._busy:
            await self._follow_current(
                name, await self._volume.call(snapshot, self._repository, name), "", at_once=True
            )
        if reason := self._engine.refused.get(name):
            raise Conflict(reason)

    async def _everywhere(self, done: Callable[[WorkerState], bool]) -> None:
        """Wait until all living workers have published that it is done; not for ever, since one may hang."""
        with suppress(TimeoutError):
            async with asyncio.timeout(OTHERS_S):
                while not all(map(done, self._scoreboard.alive())):  # noqa: ASYNC110 - other processes are waited for
                    await asyncio.sleep(OTHERS_POLL_S)

    # -- current --------------------------------------------------------------------------------------------

    async def _follow_current(self, name: str, seen: Snapshot, trouble: str, at_once: bool = False) -> None:
        live = self._engine.served(name).version if name in self._engine.names() else None
        version = seen.current
        if version is None:
            self._reject(name, seen.error)
        elif version == live and trouble:
            self._reject(name, trouble)
        elif version == live:
            self._engine.refused.pop(name, None)
        elif self._rejected.get((name, version)) != seen.signature and (at_once or self._is_time(name, version)):
            await self._move(name, version, live, seen.signature)

    def _unload(self, name: str) -> None:
        was_live = name in self._engine.names()
        self._engine.unload(name)
        if was_live:
            self._scoreboard.publish()
            log.info("%s is unloaded", name)

    async def _move(self, name: str, version: int, live: int | None, signature: Signature) -> None:
        try:
            self._engine.swap(await self._loaded(name, version))
        except Unavailable as error:
            self._reject(name, f"{error} It is tried again in {self._postpone(name, version):g} s.")
        except DigitsError as error:
            self._rejected[name, version] = signature  # taken before: files that changed meanwhile are looked at again
            self._reject(name, str(error))
        else:
            self._retries.pop((name, version), None)
            self._engine.refused.pop(name, None)
            self._scoreboard.publish()
            log.info("Serving %s version %s now, version %s until now", name, version, live)

    async def _loaded(self, name: str, version: int) -> LoadedVersion:
        """A version that passed its try-out. Raises DigitsError: Unavailable where the try-out itself failed."""
        await check(self._repository.root, name, version)
        return await self._volume.call(self._engine.load, name, version, timeout_s=LOAD_S)

    def _reject(self, name: str, reason: str) -> None:
        if self._engine.refused.get(name) != reason:
            log.warning("%s stays on the version it serves: %s", name, reason)
            self._engine.refused[name] = reason

    def _is_time(self, name: str, version: int) -> bool:
        return monotonic() >= self._retries.get((name, version), (0.0, 0.0))[0]

    def _postpone(self, name: str, version: int) -> float:
        """Seconds until the next attempt, twice as many each time."""
        pause = self._retries.get((name, version), (0.0, FIRST_RETRY_S))[1]
        self._retries[name, version] = monotonic() + pause, min(2 * pause, LAST_RETRY_S)
        return pause

    def _forget(self, names: set[str]) -> None:
        """Drop what is known of models that are gone."""
        for name in self._engine.refused.keys() - names:
            del self._engine.refused[name]
        for key in [key for key in (*self._rejected, *self._retries) if key[0] not in names]:
            self._rejected.pop(key, None)
            self._retries.pop(key, None)

    # -- rollouts -------------------------------------------------------------------------------------------

    async def _follow_plan(self, name: str, seen: Snapshot) -> None:
        plan, running = seen.plan, self._engine.rollout(name)
        if plan is None and not seen.rollout_is_over:
            return  # the folder cannot be read now: a rollout that runs goes on, with its counts
        if name not in self._engine.names() or (plan and plan.id in self._over):
            plan = None
        if running and (plan is None or plan.id != running.plan.id):
            self._engine.swap_rollout(name, None)
            running = None
        if plan and running:
            await self._judge(name, plan)
        elif plan and plan.version != self._engine.served(name).version and self._is_time(name, plan.version):
            await self._begin(name, plan)

    async def _begin(self, name: str, plan: RolloutPlan) -> None:
        try:
            candidate = await self._loaded(name, plan.version)
        except Unavailable as error:
            pause = self._postpone(name, plan.version)
            log.warning("%s version %s cannot be tried yet, again in %g s: %s", name, plan.version, pause, error)
            return
        except DigitsError as error:
            await self._end(name, plan, f"rolled back: {error}")
            return
        self._retries.pop((name, plan.version), None)
        self._engine.swap_rollout(name, Rollout(plan, candidate))
        how = "as a shadow" if plan.shadow else f"as a canary for {plan.percent:g} % of requests"
        log.info("Trying %s version %s %s", name, plan.version, how)

    async def _judge(self, name: str, plan: RolloutPlan) -> None:
        """Promote or roll back once enough was seen, over all workers. Whichever worker sees it first does it."""
        verdict = plan.verdict(**rollout_counts(self._scoreboard.all(), name, plan.id))
        if verdict:
            await self._end(name, plan, verdict)

    async def _end(self, name: str, plan: RolloutPlan, verdict: str) -> None:
        try:
            await self._volume.call(self._repository.end_rollout, name, plan, verdict, timeout_s=WRITE_S)
        except (OSError, Conflict):
            log.warning("The trial of %s is over (%s), and cannot be ended: the repository is read-only", name, verdict)
            self._over.add(plan.id)
            self._engine.swap_rollout(name, None)
            return
        self._engine.swap_rollout(name, None)
        log.info("The trial of %s version %s is over: %s", name, plan.version, verdict)
