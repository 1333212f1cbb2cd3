"""Looks at the repository once or twice a second and moves the engine after it: a new `current`, a trial, its verdict.

A version is first tried out in a process of its own (check.py), then loaded beside the live one and swapped in by one
assignment. One that fails stays out until its files, or `current`, change; the live one serves on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from service.engine.engine import Engine
from service.engine.rollout import Rollout
from service.engine.validation import check
from service.errors import Conflict, DigitsError, NoSuchModel
from service.repository.rollout_plan import RolloutPlan
from service.repository.writer import RepositoryWriter
from service.telemetry.scoreboard import ALIVE_SECONDS, Scoreboard, WorkerState, rollout_counts

log = logging.getLogger("service")

POLL_S = 0.5
OTHERS_S, OTHERS_POLL_S = ALIVE_SECONDS + 1, 0.05  # what a dead worker published counts for as long as that
Signature = tuple[Any, ...]


class Watcher:
    """Follows the repository for one process.

    Args:
        engine: what is moved.
        scoreboard: whose counts of all workers a verdict is made on.
    """

    def __init__(self, engine: Engine, scoreboard: Scoreboard) -> None:
        self._engine = engine
        self._scoreboard = scoreboard
        self._repository = RepositoryWriter(engine.repository.root)
        self._busy = asyncio.Lock()
        self._refused: dict[tuple[str, int], Signature] = {}
        self._over: set[str] = set()  # trials that this process ended, though it may not write so

    async def run(self) -> None:
        """Look until cancelled. Nothing that is found in the repository ends this."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.look()
            except Exception:  # the last border of this task
                log.exception("looking at the model repository failed; the live versions serve on")

    async def look(self) -> None:
        """Look once."""
        for name in sorted({*self._engine.names(), *self._repository.names()}):
            async with self._busy:
                if name in self._scoreboard.unloaded():
                    self._unload(name)
                    continue
                await self._follow_current(name)
                await self._follow_trial(name)

    async def unload(self, name: str) -> None:
        """Serve a model no more, in this worker and in the others, which see it when they look. Raises NoSuchModel."""
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
        """
        if name not in self._repository.names():
            known = ", ".join(self._repository.names()) or "none"
            raise NoSuchModel(f"There is no model of that name to load; there are: {known}.")
        if "stable" not in self._repository.labels(name):
            raise NoSuchModel(f"No version of {name} is promoted, so that none can be loaded; promote one first.")
        self._scoreboard.load(name)
        await self.follow(name)
        version = self._engine.state()["live"].get(name)
        await self._everywhere(lambda state: state["live"].get(name) == version or name in state["refused"])

    async def follow(self, name: str) -> None:
        """Bring one model up to its `current` now. Raises Conflict where the promoted version is refused."""
        if name in self._scoreboard.unloaded():
            return
        async with self._busy:
            await self._follow_current(name)
        if reason := self._engine.refused.get(name):
            raise Conflict(reason)

    async def _everywhere(self, done: Callable[[WorkerState], bool]) -> None:
        """Wait until all workers that are alive have published that it is done; not for ever, since one may hang."""
        with suppress(TimeoutError):
            async with asyncio.timeout(OTHERS_S):
                while not all(map(done, self._scoreboard.alive())):  # noqa: ASYNC110 - other processes are waited for
                    await asyncio.sleep(OTHERS_POLL_S)

    # -- current --------------------------------------------------------------------------------------------

    async def _follow_current(self, name: str) -> None:
        live = self._engine.served(name).version if name in self._engine.names() else None
        try:
            version = self._repository.current(name)
        except DigitsError as error:
            self._note_rejection(name, str(error))
            return
        if version == live:
            self._engine.refused.pop(name, None)
            return
        if self._refused.get((name, version)) == self._repository.signature(name, version):
            return
        await self._move(name, version, live)

    def _unload(self, name: str) -> None:
        was_live = name in self._engine.names()
        self._engine.unload(name)
        if was_live:
            self._scoreboard.publish()
            log.info("%s is unloaded", name)

    async def _move(self, name: str, version: int, live: int | None) -> None:
        signature = self._repository.signature(name, version)  # taken first: a change meanwhile is looked at again
        try:
            await check(self._repository.root, name, version)
            self._engine.swap(await asyncio.to_thread(self._engine.load, name, version))
        except DigitsError as error:
            self._refused[name, version] = signature
            self._note_rejection(name, str(error))
            return
        self._engine.refused.pop(name, None)
        self._scoreboard.publish()
        log.info("Serving %s version %s now, version %s until now", name, version, live)

    def _note_rejection(self, name: str, reason: str) -> None:
        if self._engine.refused.get(name) != reason:
            log.warning("%s stays on the version it serves: %s", name, reason)
            self._engine.refused[name] = reason

    # -- trials ---------------------------------------------------------------------------------------------

    async def _follow_trial(self, name: str) -> None:
        plan = self._repository.rollout(name) if name in self._engine.names() else None
        if plan and plan.id in self._over:
            plan = None
        running = self._engine.rollout(name)
        if running and (plan is None or plan.id != running.plan.id):
            self._engine.swap_rollout(name, None)
            running = None
        if plan and not running:
            await self._begin(name, plan)
        elif plan and running:
            self._judge(name, plan)

    async def _begin(self, name: str, plan: RolloutPlan) -> None:
        if plan.version == self._engine.served(name).version:
            return
        try:
            await check(self._repository.root, name, plan.version)
            candidate = await asyncio.to_thread(self._engine.load, name, plan.version)
        except DigitsError as error:
            self._end(name, plan, f"rolled back: {error}")
            return
        self._engine.swap_rollout(name, Rollout(plan, candidate))
        how = "in the shadow" if plan.shadow else f"as a canary for {plan.percent:g} % of requests"
        log.info("Trying %s version %s %s", name, plan.version, how)

    def _judge(self, name: str, plan: RolloutPlan) -> None:
        """Promote or roll back once enough was seen, over all workers. Whichever worker sees it first does it."""
        verdict = plan.verdict(**rollout_counts(self._scoreboard.all(), name, plan.id))
        if verdict:
            self._end(name, plan, verdict)

    def _end(self, name: str, plan: RolloutPlan, verdict: str) -> None:
        try:
            self._repository.end_rollout(name, plan, verdict)
        except (OSError, Conflict):
            log.warning("The trial of %s is over (%s), and cannot be ended: the repository is read-only", name, verdict)
            self._over.add(plan.id)
            self._engine.swap_rollout(name, None)
            return
        self._engine.swap_rollout(name, None)
        log.info("The trial of %s version %s is over: %s", name, plan.version, verdict)
