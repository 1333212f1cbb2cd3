"""Looks at the repository twice a second and brings the engine up to it: a new `current`, a rollout, its verdict.

All file calls are made in the thread of repository/volume.py, under a limit. A version is first tried out in a process
of its own (validation.py), then loaded beside the live one and swapped in by one assignment. One that fails for good
stays out until its files, or `current`, change; a try-out that was itself interrupted is repeated, later and later.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from service.engine.engine import Engine
from service.engine.loader import Loader
from service.engine.retries import Retries
from service.engine.rollouts import Rollouts
from service.errors import Conflict, DigitsError, NoSuchModel, Unavailable
from service.repository.snapshot import Snapshot, entries, snapshot
from service.repository.volume import Volume
from service.telemetry.scoreboard import Scoreboard

log = logging.getLogger("service")

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
        self._repository = engine.repository
        self._busy = asyncio.Lock()
        self._rejected: dict[tuple[str, int], Signature] = {}
        self._retries = Retries()
        self._loader = Loader(engine, volume)
        self._rollouts = Rollouts(engine, volume, scoreboard, self._retries)

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
        async with self._busy:  # first, since it needs no file
            for name in self._scoreboard.unloaded():
                self._unload(name)
        names = await self._volume.call(entries, self._repository)
        for name in sorted({*self._engine.names(), *names}):
            async with self._busy:
                await self._look_at(name)
        self._forget({*names, *self._engine.names()})

    async def _look_at(self, name: str) -> None:
        """Bring one model up to what the repository holds of it; what goes wrong stops no other model."""
        if name in self._scoreboard.unloaded():
            self._unload(name)
            return
        seen = await self._volume.call(snapshot, self._repository, name)
        try:
            await self._replace_withdrawn(name, seen)
            await self._follow_current(name, seen)
            await self._rollouts.follow(name, seen)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the last border of this model; logged with its traceback once
            reason = f"Following {name} failed ({type(error).__name__}); the log of this worker has the traceback."
            trace = error if self._engine.refused.get(name) != reason else None
            self._reject(name, reason, trace)

    async def unload(self, name: str) -> None:
        """Stop serving a model, in this worker and in the others, which see it when they look. Raises NoSuchModel."""
        if name not in self._engine.unloaded:
            self._engine.served(name)
        self._scoreboard.unload(name)
        async with self._busy:
            self._unload(name)
        await self._scoreboard.wait_until_all(lambda state: name not in state["live"])

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
        await self._scoreboard.wait_until_all(
            lambda state: state["live"].get(name) == version or name in state["refused"]
        )

    async def follow(self, name: str) -> None:
        """Bring one model up to its `current` now.

        Raises:
            Conflict: the promoted version is rejected.
            Unavailable: the models folder does not answer.
        """
        if name in self._scoreboard.unloaded():
            return
        async with self._busy:
            await self._follow_current(name, await self._volume.call(snapshot, self._repository, name), at_once=True)
        if reason := self._engine.refused.get(name):
            raise Conflict(reason)

    async def _follow_current(self, name: str, seen: Snapshot, at_once: bool = False) -> None:
        live = self._engine.served(name).version if name in self._engine.names() else None
        version = seen.current
        if version is None:  # the folder is ill, or `current` is gone, or nothing was ever promoted
            self._reject(name, seen.trouble or (seen.error if live else ""))
        elif version == live:
            self._reject(name, "" if at_once else seen.trouble)
        elif self._rejected.get((name, version)) != seen.signature and (at_once or self._retries.is_due(name, version)):
            await self._move(name, version, live, seen.signature)

    def _unload(self, name: str) -> None:
        was_live = name in self._engine.names()
        self._engine.unload(name)
        if was_live:
            self._scoreboard.publish()
            log.info("%s is unloaded", name)

    async def _move(self, name: str, version: int, live: int | None, signature: Signature) -> None:
        try:
            self._engine.swap(await self._loader.load(name, version))
        except Unavailable as error:
            self._reject(name, f"{error} It is tried again in {self._retries.postpone(name, version):g} s.")
        except DigitsError as error:
            self._rejected[name, version] = signature  # taken before: files that changed meanwhile are looked at again
            self._reject(name, str(error))
        else:
            self._retries.succeeded(name, version)
            self._engine.refused.pop(name, None)
            self._scoreboard.publish()
            log.info("Serving %s version %s now, version %s until now", name, version, live)

    async def _replace_withdrawn(self, name: str, seen: Snapshot) -> None:
        """Take a live version out of service whose runs took too long; the last one served before it answers then."""
        live = self._engine.served(name) if name in self._engine.names() else None
        if live and live.timeouts.withdrawn:
            self._rejected[name, live.version] = seen.signature if live.version == seen.current else ()
            self._engine.withdraw(name)
            self._scoreboard.publish()
        if reason := self._engine.withdrawn.get(name):
            for version in await self._volume.call(self._repository.earlier, name):
                if (name, version) not in self._rejected and self._retries.is_due(name, version):
                    await self._move(name, version, seen.current, ())
                    break
            self._reject(name, reason)

    def _reject(self, name: str, reason: str, trace: Exception | None = None) -> None:
        """Say once why the promoted version is not served, or what cannot be read; "" where all is well."""
        if not reason:
            self._engine.refused.pop(name, None)
        elif self._engine.refused.get(name) != reason:
            what = "stays on the version it serves" if name in self._engine.names() else "is not served"
            log.warning("%s %s: %s", name, what, reason, exc_info=trace)
            self._engine.refused[name] = reason

    def _forget(self, names: set[str]) -> None:
        """Drop what is known of models that are gone."""
        for name in self._engine.refused.keys() - names:
            del self._engine.refused[name]
        self._rejected = {key: value for key, value in self._rejected.items() if key[0] in names}
        self._retries.keep_only(names)
