"""Begins, judges and ends the rollouts of one process as the repository says, on the counts of all workers."""

from __future__ import annotations

import logging

from service.engine.engine import Engine
from service.engine.loader import Loader
from service.engine.retries import Retries
from service.engine.rollout import Rollout
from service.errors import DigitsError, Unavailable
from service.repository.rollout_plan import RolloutPlan
from service.repository.snapshot import Snapshot
from service.repository.volume import Volume
from service.repository.writer import RepositoryWriter
from service.telemetry.scoreboard import Scoreboard, rollout_counts

log = logging.getLogger("service")

LOCK_S = 1.0  # the watcher waits for no other writer: it asks again


class Rollouts:
    """The rollouts that one process follows.

    Args:
        engine: runs them.
        volume: makes the file calls.
        scoreboard: has the counts of all workers.
        retries: when to try again what was interrupted.
    """

    def __init__(self, engine: Engine, volume: Volume, scoreboard: Scoreboard, retries: Retries) -> None:
        self._engine = engine
        self._volume = volume
        self._scoreboard = scoreboard
        self._retries = retries
        self._loader = Loader(engine, volume)
        self._repository = RepositoryWriter(engine.repository.root, LOCK_S)
        self._verdicts: dict[str, str] = {}  # by the plan's id: the rollout is over here, and that is not written yet

    async def follow(self, name: str, seen: Snapshot) -> None:
        """Bring the rollout of one model up to its plan."""
        plan, running = seen.plan, self._engine.rollout(name)
        if plan is None and not seen.rollout_is_over:
            return  # the folder cannot be read now: a rollout that runs goes on, with its counts
        if name not in self._engine.names():
            plan = None
        if running and (plan is None or plan.id != running.plan.id):
            self._engine.swap_rollout(name, None)
            running = None
        if plan and plan.id in self._verdicts:
            await self._end(name, plan, self._verdicts[plan.id])
        elif plan and plan.version == seen.current == self._engine.served(name).version:
            await self._end(name, plan, "promoted: by hand, or by a worker that was killed before it could say why")
        elif plan and running:
            await self._judge(name, plan, running)
        elif plan and plan.version != self._engine.served(name).version and self._retries.is_due(name, plan.version):
            await self._begin(name, plan)

    async def _begin(self, name: str, plan: RolloutPlan) -> None:
        try:
            candidate = await self._loader.load(name, plan.version)
        except Unavailable as error:
            pause = self._retries.postpone(name, plan.version)
            log.warning("%s version %s cannot be tried yet, again in %g s: %s", name, plan.version, pause, error)
            return
        except DigitsError as error:
            await self._end(name, plan, f"rolled back: {error}")
            return
        self._retries.succeeded(name, plan.version)
        self._engine.swap_rollout(name, Rollout(plan, candidate))
        how = "as a shadow" if plan.shadow else f"as a canary for {plan.percent:g} % of requests"
        log.info("Trying %s version %s %s", name, plan.version, how)

    async def _judge(self, name: str, plan: RolloutPlan, running: Rollout) -> None:
        """Promote or roll back once enough was seen, over all workers. Whichever worker sees it first does it."""
        verdict = plan.verdict(**rollout_counts(self._scoreboard.all(), name, plan.id))
        if running.candidate.timeouts.withdrawn:
            verdict = f"rolled back: {running.candidate.timeouts.reason()}"
        if verdict:
            await self._end(name, plan, verdict)

    async def _end(self, name: str, plan: RolloutPlan, verdict: str) -> None:
        """The candidate answers no more, and then the verdict is written; where that fails it is tried again later."""
        if not self._retries.is_due(name, plan.version):
            return
        self._engine.swap_rollout(name, None)  # first: who reads that it is over is answered by the candidate no more
        try:
            await self._volume.write(self._repository.end_rollout, name, plan, verdict)
        except (OSError, DigitsError) as error:
            if plan.id not in self._verdicts:
                log.warning("The trial of %s is over (%s), and cannot be ended yet: %s", name, verdict, error)
            self._verdicts[plan.id] = verdict
            self._retries.postpone(name, plan.version)
        else:
            self._verdicts.pop(plan.id, None)
            self._retries.succeeded(name, plan.version)
            log.info("The trial of %s version %s is over: %s", name, plan.version, verdict)
